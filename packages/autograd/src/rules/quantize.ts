import { notDifferentiable, type Rules } from "../rule.js";

export const rules: Rules<"quantize" | "dequantize"> = {
  quantize: notDifferentiable("rounding to codes has no slope; train adapters beside quantized weights"),
  dequantize: notDifferentiable("codes are whole numbers, and their scales are not trained"),
};
