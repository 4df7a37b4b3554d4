//! Initial values of parameters.
import {
  type DeviceLike,
  type DType,
  full,
  type Generator,
  normal as normalValues,
  type Shape,
  type Tensor,
  truncatedNormal as truncatedNormalValues,
  uniform as uniformValues,
} from "@openelm/tensor";

/** What an initializer may use: where the values go, and a generator of the parameter's own. */
export interface InitContext {
  readonly dtype: DType;
  readonly device: DeviceLike;
  readonly generator: Generator;
}

/** Makes the initial value of a parameter of `shape`. */
export type Init = (shape: Shape, context: InitContext) => Tensor;

/** Every element the same. */
export const constant =
  (value: number): Init =>
  (shape, { dtype, device }) =>
    full(shape, value, { dtype, device });

export const zeros: Init = constant(0);
export const ones: Init = constant(1);

/** Normal with the given mean and standard deviation. */
export const normal =
  ({ mean = 0, std = 1 }: { readonly mean?: number; readonly std?: number } = {}): Init =>
  (shape, context) =>
    normalValues(shape, { mean, std, ...context });

/** Normal, drawn again where it would be more than two standard deviations from the mean. */
export const truncatedNormal =
  ({ mean = 0, std = 1 }: { readonly mean?: number; readonly std?: number } = {}): Init =>
  (shape, context) =>
    truncatedNormalValues(shape, { mean, std, ...context });

/** Uniform in `[low, high)`. */
export const uniform =
  (low: number, high: number): Init =>
  (shape, context) =>
    uniformValues(shape, { low, high, ...context });

/** How many inputs and outputs meet in a weight of shape `[out, in, ...]`. */
function fans(shape: Shape): { fanIn: number; fanOut: number } {
  const field = shape.slice(2).reduce((product, dim) => product * dim, 1);
  return { fanIn: (shape[1] ?? shape[0] ?? 1) * field, fanOut: (shape[0] ?? 1) * field };
}

/** `N(0, 1 / fanIn)`: keeps the variance of what flows forward. The default of linear layers (LeCun et al., 1998). */
export const fanInNormal: Init = (shape, context) =>
  normalValues(shape, { std: fans(shape).fanIn ** -0.5, ...context });

/** Uniform in `±√(6 / (fanIn + fanOut))` (Glorot and Bengio, 2010). */
export const xavierUniform: Init = (shape, context) => {
  const { fanIn, fanOut } = fans(shape);
  const bound = Math.sqrt(6 / (fanIn + fanOut));
  return uniformValues(shape, { low: -bound, high: bound, ...context });
};

/** Uniform in `±√(6 / ((1 + slope²) · fanIn))`, for layers before a (leaky) ReLU (He et al., 2015). */
export const kaimingUniform =
  ({ slope = 0 }: { readonly slope?: number } = {}): Init =>
  (shape, context) => {
    const bound = Math.sqrt(6 / ((1 + slope * slope) * fans(shape).fanIn));
    return uniformValues(shape, { low: -bound, high: bound, ...context });
  };
