// A prompt into an empty cache, and the logits after its last token. Weights are random.
import { OpenELM } from "@openelm/models";
import { randint } from "@openelm/tensor";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import { inferring, peerModel } from "./lib/models.js";

export async function* bench(): AsyncGenerator<Measurement> {
  const model = new OpenELM("OpenELM-270M");
  for (const time of [128, 512]) {
    const ids = randint([1, time], 0, model.config.vocabSize);
    yield await compare({
      name: `prefill OpenELM-270M f32 T${time}`,
      unit: "tokens/s",
      work: time,
      ours: inferring(() => {
        using cache = model.newCache({ capacity: time });
        const hidden = model.hidden(ids, { cache });
        model.logits(hidden.at(":", -1));
      }),
      timesItself: true,
      torch: { case: "prefill", model: peerModel(model), time },
      rounds: 5,
      seconds: 1,
    });
  }
}
