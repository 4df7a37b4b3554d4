//! Scales and biases of groups, chosen before any weight is rounded.

/** A matrix in groups along its rows. */
export interface Grouped {
  /** `[rows, dim]`. */
  readonly weights: Float32Array;
  readonly dim: number;
  readonly bits: number;
  readonly group: number;
}

/** Scale and bias of each group, `[rows, dim / group]`: a code `q` stands for `scale · q + bias`. */
export interface Grid {
  readonly scales: Float32Array;
  readonly biases: Float32Array;
}

/** Ranges that are tried, as shares of that from the least to the largest weight of a group. */
const SHARES = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6];

/** The code next to a weight. */
export const codeOf = (weight: number, scale: number, bias: number, most: number): number =>
  Math.max(0, Math.min(most, Math.round((weight - bias) / scale)));

/**
 * The grids that round each group with the least squared error, where column `j` counts `importance[j]`.
 *
 * A range that leaves out the outermost weights makes steps finer for all others. Of the best of nine ranges the scale and
 * bias are then fitted to its codes by least squares, which is kept where it helps.
 */
export function fitGrid({ weights, dim, bits, group }: Grouped, importance: Float64Array): Grid {
  const most = 2 ** bits - 1;
  const count = weights.length / group;
  const grid = { scales: new Float32Array(count), biases: new Float32Array(count) };
  for (let g = 0; g < count; g++) {
    const at = g * group;
    const w = weights.subarray(at, at + group);
    const h = importance.subarray(at % dim, (at % dim) + group);
    const [low, high] = extremes(w);
    let best = { scale: Math.max(high - low, 1e-6) / most, bias: low, error: Number.POSITIVE_INFINITY };
    const tryOut = (scale: number, bias: number): void => {
      const error = errorOf(w, h, scale, bias, most);
      if (error < best.error) best = { scale, bias, error };
    };
    for (const share of SHARES) {
      const [from, to] = [low * share, high * share];
      if (to > from) tryOut((to - from) / most, from);
    }
    const fitted = leastSquares(w, h, best, most);
    if (fitted !== undefined) tryOut(fitted.scale, fitted.bias);
    grid.scales[g] = best.scale;
    grid.biases[g] = best.bias;
  }
  return grid;
}

function extremes(w: Float32Array): readonly [low: number, high: number] {
  let [low, high] = [w[0]!, w[0]!];
  for (const value of w) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function errorOf(w: Float32Array, h: Float64Array, scale: number, bias: number, most: number): number {
  let sum = 0;
  for (let i = 0; i < w.length; i++) {
    const off = w[i]! - (scale * codeOf(w[i]!, scale, bias, most) + bias);
    sum += h[i]! * off * off;
  }
  return sum;
}

/** The line through the weights over their codes; undefined where all codes are one. */
function leastSquares(
  w: Float32Array,
  h: Float64Array,
  { scale, bias }: { readonly scale: number; readonly bias: number },
  most: number,
): { readonly scale: number; readonly bias: number } | undefined {
  let [weight, q1, q2, w1, qw] = [0, 0, 0, 0, 0];
  for (let i = 0; i < w.length; i++) {
    const q = codeOf(w[i]!, scale, bias, most);
    weight += h[i]!;
    q1 += h[i]! * q;
    q2 += h[i]! * q * q;
    w1 += h[i]! * w[i]!;
    qw += h[i]! * q * w[i]!;
  }
  const spread = weight * q2 - q1 * q1;
  const slope = (weight * qw - q1 * w1) / spread;
  return spread > 0 && slope > 0 ? { scale: slope, bias: (w1 - slope * q1) / weight } : undefined;
}
