import {
  DTYPE_INFO,
  type DType,
  OpError,
  ones,
  refuseAsync,
  type Shape,
  scope,
  Tensor,
  UsageError,
} from "@openelm/tensor";
import { type GradientsOf, type Leaves, leavesOf } from "./leaves.js";
import { record } from "./record.js";
import { type Leaf, Tape } from "./tape.js";

/** A function of tensors, trees of tensors or modules. */
// biome-ignore lint/suspicious/noExplicitAny: parameters of a callback are contravariant; `never` would refuse calls
type Differentiable<Args extends readonly any[], R> = (...args: Args) => R;

/** What a loss function may return: the loss, or the loss and values that come out beside it. */
export type LossResult<Aux = unknown> = Tensor | { readonly loss: Tensor; readonly aux: Aux };

/** Which arguments are differentiated: one position, or several. */
export interface WrtOptions<W extends number | readonly number[] = 0> {
  readonly wrt?: W;
}

/** The gradients by argument: a tree like the one argument, or one for each of several. */
export type WrtGradients<
  Args extends readonly unknown[],
  W extends number | readonly number[],
> = W extends number ? GradientsOf<Args[W]> : { [K in keyof W]: GradientsOf<Args[W[K] & number]> };

/** The result of a function made by {@link valueAndGrad}. */
export interface ValueAndGrad<G, Aux> {
  /** The loss, a scalar. */
  readonly value: Tensor;
  readonly grads: G;
  /** What the function returned as `aux`. */
  readonly aux: Aux;
}

type AuxOf<R> = R extends { readonly aux: infer Aux } ? Aux : undefined;

/**
 * A function that gives both the value of `f` and its gradients.
 *
 * The first argument is differentiated, or those that `wrt` names: a tensor, a tree of tensors, or a module (its
 * unfrozen parameters). `f` returns a scalar, or `{ loss, aux }`. The whole call is a scope.
 *
 * @throws OpError `SHAPE_MISMATCH` if the loss is not a scalar; UsageError `ASYNC_SCOPE` if `f` is asynchronous.
 * @example
 * ```ts
 * const lossAndGrad = valueAndGrad((w: Tensor) => w.mul(w).sum());
 * const { value, grads } = lossAndGrad(tensor([1, 2]));
 * await value.item(); // 5
 * await grads.array(); // [2, 4]
 * ```
 */
export function valueAndGrad<
  Args extends readonly unknown[],
  R extends LossResult,
  W extends number | readonly number[] = 0,
>(
  f: Differentiable<Args, R>,
  { wrt }: WrtOptions<W> = {},
): (...args: Args) => ValueAndGrad<WrtGradients<Args, W>, AuxOf<R>> {
  const positions = [wrt ?? 0].flat() as number[];
  return (...args) =>
    scope(() => {
      const leaves = positions.map((position) => leavesOf(args[position], `argument ${position}`));
      const tape = new Tape();
      try {
        const result = forward(tape, leaves, () => f(...args));
        const value = result instanceof Tensor ? result : result.loss;
        checkLoss(value);
        const grads = tape.pull([value._live], [onesLike(value)], keysOf(leaves), { own: true });
        const trees = rebuild(leaves, grads);
        const aux = result instanceof Tensor ? undefined : result.aux;
        return { value, grads: typeof (wrt ?? 0) === "number" ? trees[0] : trees, aux } as never;
      } finally {
        tape.dispose();
      }
    });
}

/**
 * The gradient part of {@link valueAndGrad} alone.
 *
 * @example
 * ```ts
 * const cubed = (x: Tensor): Tensor => x.mul(x).mul(x);
 * await grad(cubed)(tensor(2)).item(); // 12
 * ```
 */
export function grad<
  Args extends readonly unknown[],
  R extends LossResult,
  W extends number | readonly number[] = 0,
>(f: Differentiable<Args, R>, options: WrtOptions<W> = {}): (...args: Args) => WrtGradients<Args, W> {
  const both = valueAndGrad(f, options);
  return (...args) => {
    const { value, grads } = both(...args);
    value.dispose();
    return grads;
  };
}

/** Runs a tape backwards, from cotangents of the outputs to gradients of the inputs. */
export interface Pull<Args extends readonly unknown[]> extends Disposable {
  (cotangent: Tensor | readonly Tensor[]): { [K in keyof Args]: GradientsOf<Args[K]> };
}

/**
 * The value of `f` and a function that pulls cotangents back to its arguments.
 *
 * `pull` may be called once, unless `retain` is set; it holds what the gradient needs until then, or until it is
 * disposed.
 *
 * @example
 * ```ts
 * const { value, pull } = vjp((x: Tensor) => x.exp(), [tensor([0, 1])]);
 * const [dx] = pull(tensor([1, 1]));
 * ```
 */
export function vjp<Args extends readonly unknown[], R extends Tensor | readonly Tensor[]>(
  f: Differentiable<Args, R>,
  args: readonly [...Args],
  { retain = false }: { readonly retain?: boolean } = {},
): { readonly value: R; readonly pull: Pull<Args> } {
  const leaves = args.map((arg, i) => leavesOf(arg, `argument ${i}`));
  const tape = new Tape();
  const value = forward(tape, leaves, () => f(...(args as unknown as Args)));
  // The caller may free the outputs and the inputs before pulling; what is needed of them is this.
  const specs = ([value].flat() as Tensor[]).map(({ shape, dtype, _live }) => ({ shape, dtype, key: _live }));
  const outputs = specs.map(({ key }) => key);
  const keys = keysOf(leaves);
  let used = false;
  let disposed = false;
  const pull = (cotangent: Tensor | readonly Tensor[]): unknown => {
    if (disposed) throw new UsageError("this pull has been disposed");
    if (used) throw new UsageError("pull may be called once; pass { retain: true } to vjp to call it again");
    const cotangents = [cotangent].flat() as Tensor[];
    checkCotangents(specs, cotangents);
    used = !retain;
    try {
      return scope(() => rebuild(leaves, tape.pull(outputs, cotangents, keys, { retain, own: true })));
    } finally {
      if (!retain) tape.dispose();
    }
  };
  const dispose = (): void => {
    disposed = true;
    tape.dispose();
  };
  abandoned.register(pull, tape);
  return { value, pull: Object.assign(pull, { [Symbol.dispose]: dispose }) as Pull<Args> };
}

/** A pull that nobody calls or disposes must not hold its tape forever. */
const abandoned = new FinalizationRegistry<Tape>((tape) => tape.dispose());

/** Runs `f` on the tape. Its temporaries go at its end: what the gradient needs, the tape holds. */
function forward<R>(tape: Tape, leaves: readonly Leaves[], f: () => R): R {
  for (const { tensors } of leaves) for (const tensor of tensors) tape.watch(tensor);
  return record(tape, () =>
    scope(() => {
      const result = f();
      refuseAsync(result, "gradient");
      return result as never;
    }),
  );
}

const keysOf = (leaves: readonly Leaves[]): Leaf[] =>
  leaves.flatMap(({ keys, tensors }) => keys.map((key, i) => ({ key, dtype: tensors[i]!.dtype })));

function rebuild(leaves: readonly Leaves[], grads: readonly (Tensor | null)[]): unknown[] {
  let at = 0;
  return leaves.map((leaf) => {
    const own = grads.slice(at, at + leaf.keys.length);
    at += leaf.keys.length;
    return leaf.build(own);
  });
}

function checkLoss(value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) {
    throw new UsageError("valueAndGrad: the function must return a scalar tensor, or { loss, aux }");
  }
  if (value.size !== 1) {
    const got = `[${value.shape.join(", ")}]`;
    throw new OpError(
      "SHAPE_MISMATCH",
      "valueAndGrad",
      `the loss must be a scalar, got shape ${got}; reduce it with sum() or mean()`,
    );
  }
  if (!DTYPE_INFO[value.dtype as DType].isFloat) {
    throw new OpError("NOT_DIFFERENTIABLE", "valueAndGrad", `the loss must be a float, got ${value.dtype}`);
  }
}

function checkCotangents(
  specs: readonly { shape: Shape; dtype: string }[],
  cotangents: readonly Tensor[],
): void {
  if (cotangents.length !== specs.length) {
    throw new UsageError(`pull wants ${specs.length} cotangents, got ${cotangents.length}`);
  }
  specs.forEach(({ shape, dtype }, i) => {
    const got = cotangents[i]!;
    if (got.dtype !== dtype || got.shape.join() !== shape.join()) {
      throw new OpError(
        "SHAPE_MISMATCH",
        "pull",
        `the cotangent must be like its output, ${dtype}[${shape.join(", ")}], got ${got.dtype}[${got.shape.join(", ")}]`,
      );
    }
  });
}

const onesLike = ({ shape, dtype, device }: Tensor): Tensor => ones(shape, { dtype, device });
