import { eq, internal, reshape, where } from "@openelm/tensor";
import { isHalf } from "../half.js";
import { notDifferentiable, type Rules } from "../rule.js";
import { stopGradient } from "../stop-gradient.js";
import { taken } from "./take.js";

/**
 * `dweight[r, :] = Σ_{ids[…] = r} grad[…, :]`, 0 in the row `paddingIndex`.
 *
 * The sum of a half-precision gradient stays in f32, the dtype of the parameter that the table was cast from.
 */
export const rules: Rules<"embedding" | "embedding_backward"> = {
  embedding: {
    saves: ["ids"],
    vjp: ({ grad, inputs: { ids }, specs: { weight }, attrs: { paddingIndex } }) => ({
      weight: internal.embeddingBackward(grad, ids, {
        rows: weight.shape[0]!,
        paddingIndex,
        outDtype: isHalf(grad.dtype) ? "f32" : undefined,
      }),
    }),
    reference({ weight, ids }, { paddingIndex }) {
      if (paddingIndex === undefined) return { y: taken(weight, ids, 0) };
      const isPadding = reshape(eq(ids, paddingIndex), [...ids.shape, 1]);
      return { y: where(isPadding, taken(stopGradient(weight), ids, 0), taken(weight, ids, 0)) };
    },
  },
  embedding_backward: notDifferentiable("the gradient of a gradient goes through the reference of embedding"),
};
