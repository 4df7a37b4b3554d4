import { concat, flip, internal, permute, type Tensor, zeros } from "@openelm/tensor";

/**
 * The same values laid out differently: axes in reverse order in memory, each second element, the first axis backwards.
 *
 * A kernel that takes its input for row-major reads other values.
 */
export function strided<T extends Tensor>(x: T): T {
  if (x.rank === 0 || x.size === 0) return x;
  const reversed = x.shape.map((_, i) => x.rank - 1 - i);
  // Written transposed and turned back: the strides are now those of the other order.
  const turned = permute(permute(flip(x, { axis: 0 }), reversed).copy(), reversed);
  const last = x.rank - 1;
  const gaps = zeros([...turned.shape, 1], { dtype: x.dtype, device: x.device });
  const paired = concat([turned.reshape([...turned.shape, 1]), gaps], { axis: x.rank });
  const wide = paired.reshape(turned.shape.with(last, 2 * turned.shape[last]!));
  const laid = permute(permute(wide, reversed).copy(), reversed);
  const starts = x.shape.map((dim, axis) => (axis === 0 ? (dim - 1) * (last === 0 ? 2 : 1) : 0));
  const steps = x.shape.map((_, axis) => (axis === 0 ? -1 : 1) * (axis === last ? 2 : 1));
  return internal.slice(laid, { starts, sizes: x.shape, steps }) as T;
}
