import { tril, triu } from "@openelm/tensor";
import type { Rules } from "../rule.js";

/** The same triangle of the gradient. */
export const rules: Rules<"tril" | "triu"> = {
  tril: { vjp: ({ grad, attrs }) => ({ x: tril(grad, attrs) }) },
  triu: { vjp: ({ grad, attrs }) => ({ x: triu(grad, attrs) }) },
};
