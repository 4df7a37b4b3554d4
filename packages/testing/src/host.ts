//! Sums on the host, in f64 and a fixed order: what checks the ops does not use them.
import { Generator, type Tensor, tensor, uniform } from "@openelm/tensor";

/** Random numbers in `[−1, 1)` of the shape of `x`, in f64. */
export function direction({ shape, device }: Tensor, seed: number): Tensor {
  return uniform(shape, { low: -1, high: 1, dtype: "f64", device, generator: new Generator(seed) });
}

/** `Σ a · b` */
export function inner(a: Tensor, b: Tensor): number {
  const [x, y] = [numbers(a), numbers(b)];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

/** `Σ |a · b|` */
export function innerSize(a: Tensor, b: Tensor): number {
  const [x, y] = [numbers(a), numbers(b)];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.abs(x[i]! * y[i]!);
  return sum;
}

/** `x + step · u` */
export function shifted(x: Tensor, u: Tensor, step: number): Tensor {
  const [a, b] = [numbers(x), numbers(u)];
  return tensor(
    a.map((value, i) => value + step * b[i]!),
    { shape: x.shape, device: x.device },
  );
}

/** A copy of the values of a float tensor. */
export const numbers = (x: Tensor): Float64Array => Float64Array.from(x.dataSync() as ArrayLike<number>);
