// A prompt into an empty cache, and the logits after its last token. Weights are random.
import { OpenELM } from "@openelm/models";
import { randint } from "@openelm/tensor";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import { inferring, peerModel } from "./lib/models.js";

export async function* bench(): AsyncGenerator<Measurement> {
  for (const dtype of ["f32", "bf16"] as const) {
    const model = new OpenELM("OpenELM-270M").initialize().to(dtype);
    for (const time of [128, 512]) {
      const ids = randint([1, time], 0, model.config.vocabSize);
      const of = { case: "prefill", model: peerModel(model), time, dtype };
      yield await compare({
        name: `prefill OpenELM-270M ${dtype} T${time}`,
        unit: "tokens/s",
        work: time,
        ours: inferring(() => {
          using cache = model.newCache({ capacity: time });
          const hidden = model.hidden(ids, { cache });
          model.logits(hidden.at(":", -1));
        }),
        timesItself: true,
        torch: of,
        peers: { "llama.cpp": of },
        rounds: 5,
        seconds: 1,
      });
    }
    for (const parameter of model.parameters()) parameter.value.dispose();
  }
}
