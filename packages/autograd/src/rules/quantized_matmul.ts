import { dequantize, matmul, quantizedMatmul, reshape, transpose } from "@openelm/tensor";
import { sizeOf } from "../axes.js";
import type { Rules } from "../rule.js";

/** With `Y = X·Wᵀ`: `dX = dY·W`, and the other way round; the codes are constants. */
export const rules: Rules<"quantized_matmul"> = {
  quantized_matmul: {
    saves: ["codes", "scales", "biases"],
    vjp: ({ grad, inputs: { codes, scales, biases }, specs: { x }, attrs }) => ({
      x: quantizedMatmul(grad.to(x.dtype), codes, scales, biases, { ...attrs, transpose: !attrs.transpose }),
    }),
    reference({ x, codes, scales, biases }, { bits, group, transpose: isTransposed }) {
      const w = dequantize(codes, scales, biases, { bits, group, dtype: "f32" }).to(x.dtype);
      const rows = reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);
      const y = matmul(rows, isTransposed ? transpose(w) : w);
      return { y: reshape(y, [...x.shape.slice(0, -1), y.shape[1]!]) };
    },
  },
};
