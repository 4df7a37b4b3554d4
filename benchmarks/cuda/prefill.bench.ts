// A prompt of 2048 into an empty cache, and the logits after its last token, bf16.
import { OpenELM, type OpenELMSize } from "@openelm/models";
import { randint } from "@openelm/tensor";
import { compare } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { inferring, peerModel } from "../lib/models.js";

export const device = "cuda";

const TIME = 2048;
const SIZES: readonly OpenELMSize[] = ["OpenELM-270M", "OpenELM-1_1B", "OpenELM-3B"];

export async function* bench(): AsyncGenerator<Measurement> {
  for (const size of SIZES) {
    const model = new OpenELM(size).initialize().to("bf16");
    const cache = model.newCache({ capacity: TIME });
    const ids = randint([1, TIME], 0, model.config.vocabSize);
    yield await compare({
      name: `prefill ${size} bf16 T${TIME}`,
      unit: "tokens/s",
      work: TIME,
      ours: inferring(() => {
        cache.crop(0);
        model.forward(ids, { cache, last: true });
      }),
      timesItself: true,
      torch: { case: "prefill", model: peerModel(model), time: TIME, dtype: "bf16" },
      rounds: 5,
      seconds: 0.3,
    });
    cache.dispose();
    for (const parameter of model.parameters()) parameter.value.dispose();
  }
}
