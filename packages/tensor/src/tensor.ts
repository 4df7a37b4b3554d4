import { DisposedError, OpError, UsageError } from "@openelm/native";
import { arena, core } from "./core.js";
import { type Device, deviceOfId } from "./device.js";
import { DTYPE_INFO, DTYPES, type DType } from "./dtype.js";
import type { OpMethods } from "./generated/methods.js";
import type { ComposedMethods } from "./methods.js";
import { type Nursery, nursery } from "./nursery.js";
import { currentScope, type Scope } from "./scope.js";

/** Sizes of the axes, outermost first. */
export type Shape = readonly number[];

/**
 * An n-dimensional array on a device.
 *
 * Tensors are values: ops give new ones and change none, except those that say so (`setAt`, optimizer steps). A tensor
 * is freed when its scope ends, by `dispose()` or `using`, or once nothing refers to it.
 *
 * @example
 * ```ts
 * const x = tensor([[1, 2], [3, 4]]);
 * await x.matmul(x).add(1).array(); // [[8, 11], [16, 23]]
 * ```
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: attachMethods defines every method of the interfaces below
export class Tensor<out S extends Shape = Shape, out D extends DType = DType> {
  readonly shape: S;
  readonly dtype: D;
  readonly device: Device;
  /** Number of the tensor in the core; 0 once freed. @internal */
  _id: number;
  /** Who frees it; `null`: the core, once nothing refers to the object. @internal */
  _scope: Scope | Nursery | null;

  /** Takes over one reference to `id`, whose storage has `footprint` bytes. @internal */
  constructor(
    id: number,
    dtype: D,
    shape: S,
    device: Device,
    owner: "scope" | "caller" = "scope",
    footprint = Number.POSITIVE_INFINITY,
  ) {
    this._id = id;
    this.dtype = dtype;
    this.shape = shape;
    this.device = device;
    this._scope = null;
    if (owner === "caller") return;
    const scope = currentScope();
    if (scope) scope._add(this);
    else nursery._add(this, footprint);
  }

  /** How many axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** How many elements. */
  get size(): number {
    return this.shape.reduce((product, dim) => product * dim, 1);
  }

  /** Bytes of the elements, row-major. */
  get byteLength(): number {
    return this.size * DTYPE_INFO[this.dtype].size;
  }

  get isDisposed(): boolean {
    return this._id === 0;
  }

  /** The number of a tensor that still lives. @internal */
  get _live(): number {
    if (this._id === 0) {
      throw new DisposedError(
        `${this.dtype}[${this.shape.join(", ")}] was freed before this use; return it from its scope or keep(t)`,
      );
    }
    return this._id;
  }

  /**
   * The same tensor for an owner outside of all scopes, who ends with `_unhold`. A pinned one needs the present values:
   * writing to them is refused meanwhile.
   *
   * @internal
   */
  _hold(pin = true): Tensor<S, D> {
    const id = this._live;
    core.retain(id, pin);
    return new Tensor(id, this.dtype, this.shape, this.device, "caller");
  }

  /** Another owner of the same tensor, in the current scope. @internal */
  _share(): Tensor<S, D> {
    const id = this._live;
    core.retain(id, false);
    return new Tensor(id, this.dtype, this.shape, this.device);
  }

  /** @internal */
  _unhold(pin = true): void {
    if (this._id === 0) return;
    core.release(this._id, pin);
    this._id = 0;
  }

  /** Frees the tensor now. Later uses throw; a second call does nothing. */
  dispose(): void {
    if (this._id === 0) return;
    if (this._scope === null) core.releaseTracked(this._id);
    else core.release(this._id, false);
    this._id = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * The same tensor with a literal shape in its type.
   *
   * @throws OpError `SHAPE_MISMATCH` if the shape differs.
   * @example
   * ```ts
   * const x = zeros([2, 3]).as([2, 3]); // Tensor<readonly [2, 3]>
   * ```
   */
  as<const T extends Shape>(shape: T): Tensor<T, D> {
    if (shape.length !== this.rank || shape.some((dim, axis) => dim !== this.shape[axis])) {
      throw new OpError(
        "SHAPE_MISMATCH",
        "as",
        `expected [${shape.join(", ")}], got [${this.shape.join(", ")}]`,
      );
    }
    return this as unknown as Tensor<T, D>;
  }

  /** A number that stands for this tensor in another worker, once; see {@link Tensor.fromShared}. */
  share(): number {
    return core.share(this._live);
  }

  /**
   * The tensor that another worker gave away by `share()`. Both then own the same memory.
   *
   * @throws OpError `INVALID_ARGUMENT` if the number was used already.
   * @example
   * ```ts no-run
   * import { parentPort, Worker } from "node:worker_threads";
   *
   * new Worker("./worker.js").postMessage(x.share());
   * parentPort?.on("message", (token: number) => console.log(Tensor.fromShared(token))); // in the worker
   * ```
   */
  static fromShared(token: number): Tensor {
    core.adopt(token);
    return Tensor._fromArena();
  }

  /** The one tensor that the core has put into the arena. @internal */
  static _fromArena(): Tensor {
    const [device, id, dtype, , rank] = arena;
    const shape = Array.from(arena.subarray(5, 5 + rank!));
    return new Tensor(id!, DTYPES[dtype!]!, shape, deviceOfId(device!));
  }

  /** Guards against `t < 3` and `t * 2`, which JavaScript would turn into nonsense. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "string") return this.toString();
    throw new UsageError("a tensor is not a number: use a.mul(2), or await t.item() for its value");
  }

  toJSON(): never {
    throw new UsageError("a tensor has no JSON form: use await t.array()");
  }
}

// biome-ignore lint/correctness/noUnusedVariables: merged declarations have the same parameters
export interface Tensor<out S extends Shape, out D extends DType> extends OpMethods, ComposedMethods {}
