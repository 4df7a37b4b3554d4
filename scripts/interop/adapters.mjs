// Models with adapters, and what ours makes of them.
import { loadAdapter, OpenELM } from "@openelm/models";
import { LoRA } from "@openelm/nn";
import { Generator, normal } from "@openelm/tensor";

/** @typedef {import("@openelm/tensor").Tensor} Tensor */
/** @typedef {NonNullable<ConstructorParameters<typeof LoRA>[0]>} LoRAOptions */

/** A model with an adapter whose values are as after some training. @param {string} folder @param {LoRAOptions} options */
export async function adapted(folder, options) {
  const model = (await OpenELM.load(folder)).eval();
  const lora = new LoRA({ rank: 4, alpha: 6, ...options });
  model.apply(lora);
  let seed = 50;
  for (const [name, parameter] of lora.namedParameters()) {
    const step = normal(parameter.shape, { generator: new Generator(seed++) }).mul(0.04);
    parameter.value = name.endsWith("magnitude")
      ? parameter.value.mul(step.add(1))
      : parameter.value.add(step);
  }
  return { model, lora };
}

/** Logits of a model that is in memory. @param {OpenELM} model @param {Tensor} ids */
export const logitsOf = async (model, ids) =>
  /** @type {Float32Array} */ (await model.forward(ids).to("f32").data());

/** Logits of a model's folder with an adapter's. @param {string} folder @param {string} adapter @param {Tensor} ids */
export async function logitsWith(folder, adapter, ids) {
  const model = (await OpenELM.load(folder)).eval();
  await loadAdapter(model, adapter);
  return logitsOf(model, ids);
}
