import { UsageError } from "@openelm/native";
import { core } from "./core.js";
import { nursery } from "./nursery.js";
import type { Tensor } from "./tensor.js";
import { visitExisting } from "./tree.js";

let current: Scope | null = null;

/** The scope that new tensors belong to. @internal */
export const currentScope = (): Scope | null => current;

/** Sync-only results: a callback that returns a promise does not type-check. */
export type Synchronous<T> = T &
  (T extends PromiseLike<unknown> ? "the callback must be synchronous" : unknown);

/** Throws if a callback of an ambient context gave something that goes on later. @internal */
export function refuseAsync(result: unknown, name: string): void {
  if (typeof result !== "object" || result === null) return;
  if ("then" in result && typeof result.then === "function") {
    throw new UsageError(
      `${name}: the callback returned a promise, but a ${name} ends with the synchronous call; ` +
        "for asynchronous work use: using s = new Scope(); const y = s.run(() => …); await y.data()",
      "ASYNC_SCOPE",
    );
  }
  if (Symbol.asyncIterator in result || (Symbol.iterator in result && "next" in result)) {
    throw new UsageError(
      `${name}: the callback returned an iterator, whose body would run after the ${name} has ended`,
      "ASYNC_SCOPE",
    );
  }
}

/**
 * Owns the tensors that are made while it runs, and frees them together.
 *
 * @example
 * ```ts
 * using s = new Scope();
 * const y = s.run(() => x.mul(2).sum());
 * await y.item(); // y lives until s is disposed
 * ```
 */
export class Scope {
  #tensors: Tensor[] = [];
  readonly #parent: Scope | null = current;
  #ended = false;

  /** @internal */
  _add(tensor: Tensor): void {
    tensor._scope = this;
    this.#tensors.push(tensor);
  }

  /** Runs `fn` with this scope in charge of new tensors; may be called repeatedly. */
  run<T>(fn: () => Synchronous<T>): T {
    if (this.#ended) throw new UsageError("this scope has been disposed");
    const outer = current;
    current = this;
    try {
      const result = fn() as T;
      refuseAsync(result, "scope");
      return result;
    } finally {
      current = outer;
    }
  }

  /** Hands the tensors inside `value` over to the surrounding scope. @internal */
  _release<T>(value: T): T {
    visitExisting(value, (tensor) => {
      if (tensor._scope === this) moveTo(tensor, this.#parent);
    });
    return value;
  }

  /** Frees all tensors that the scope owns. */
  dispose(): void {
    this.#ended = true;
    const ids = new Float64Array(this.#tensors.length);
    let count = 0;
    for (const tensor of this.#tensors) {
      if (tensor._scope !== this || tensor._id === 0) continue;
      ids[count++] = tensor._id;
      tensor._id = 0;
    }
    this.#tensors = [];
    if (count > 0) core.releaseMany(ids, count, false);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function moveTo(tensor: Tensor, scope: Scope | null): void {
  if (scope) scope._add(tensor);
  else nursery._add(tensor, Number.POSITIVE_INFINITY);
}

/**
 * Runs `fn` and frees every tensor made in it that it does not return.
 *
 * Tensors are found in the result through arrays, plain objects, Maps and modules; `keep` saves any other.
 *
 * @throws UsageError `ASYNC_SCOPE` if `fn` returns a promise or an iterator.
 * @example
 * ```ts
 * const norm = scope(() => x.mul(x).sum().sqrt()); // the square and the sum are gone
 * ```
 */
export function scope<T>(fn: () => Synchronous<T>): T {
  const s = new Scope();
  try {
    return s._release(s.run(fn));
  } finally {
    s.dispose();
  }
}

/** Takes a tensor out of its scope: it lives until `dispose()` or until nothing refers to it. */
export function keep<T extends Tensor>(tensor: T): T {
  if (tensor._scope !== null && tensor._scope !== nursery) moveTo(tensor, null);
  return tensor;
}
