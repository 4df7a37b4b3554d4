// One more token after a context; the limit is the time in which memory gives all weights once.
import { OpenELM } from "@openelm/models";
import { quantize } from "@openelm/nn";
import { randint } from "@openelm/tensor";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import { bytesOnce, inferring, peerModel } from "./lib/models.js";

const CONTEXT = 128;
const DTYPES = ["f32", "bf16", "q8", "q4"] as const;

export async function* bench(): AsyncGenerator<Measurement> {
  for (const dtype of DTYPES) {
    const model = decoder(dtype);
    const cache = model.newCache({ capacity: CONTEXT + 1 });
    const token = randint([1, 1], 0, model.config.vocabSize);
    inferring(() => model.hidden(randint([1, CONTEXT], 0, model.config.vocabSize), { cache }))(1);
    const of = { case: "decode", model: peerModel(model), context: CONTEXT, dtype };
    yield await compare({
      name: `decode OpenELM-270M ${dtype} at ${CONTEXT}`,
      unit: "tokens/s",
      work: 1,
      ours: inferring(() => {
        cache.crop(CONTEXT);
        model.forward(token, { cache });
      }),
      timesItself: true,
      ...((dtype === "f32" || dtype === "bf16") && { torch: of }),
      peers: { "llama.cpp": of },
      limit: [bytesOnce(model)],
      rounds: 5,
      seconds: 1,
    });
    cache.dispose();
    for (const parameter of model.parameters()) parameter.value.dispose();
  }
}

/** The model in a dtype, or in codes for groups of 32 with f16 scales beside f32 activations, as GGUF has them. */
function decoder(dtype: (typeof DTYPES)[number]): OpenELM {
  const model = new OpenELM("OpenELM-270M").initialize();
  if (dtype === "f32" || dtype === "bf16") return model.to(dtype);
  const wide = model.parameters();
  quantize(model, { bits: dtype === "q8" ? 8 : 4, group: 32, scaleDtype: "f16" });
  const kept = new Set(model.parameters());
  for (const parameter of wide) if (!kept.has(parameter)) parameter.value.dispose();
  return model;
}
