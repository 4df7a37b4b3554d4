// One more token after a context; the limit is the time in which memory gives all weights once.
import { OpenELM } from "@openelm/models";
import { randint, sum, uniform } from "@openelm/tensor";
import { type Bound, compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import { inferring, peerModel } from "./lib/models.js";
import { ours } from "./lib/turns.js";

const CONTEXT = 128;

export async function* bench(): AsyncGenerator<Measurement> {
  const model = new OpenELM("OpenELM-270M");
  const cache = model.newCache({ capacity: CONTEXT + 1 });
  const token = randint([1, 1], 0, model.config.vocabSize);
  inferring(() => model.hidden(randint([1, CONTEXT], 0, model.config.vocabSize), { cache }))(1);
  yield await compare({
    name: `decode OpenELM-270M f32 at ${CONTEXT}`,
    unit: "tokens/s",
    work: 1,
    ours: inferring(() => {
      cache.crop(CONTEXT);
      model.forward(token, { cache });
    }),
    timesItself: true,
    torch: { case: "decode", model: peerModel(model), context: CONTEXT },
    limit: [weightsOnce(model)],
    rounds: 5,
    seconds: 1,
  });
}

/** Every weight takes part in each token; a sum of a smaller array reads memory as fast. */
function weightsOnce(model: OpenELM): Bound {
  const size = 1 << 25;
  const x = uniform([size]);
  return { contender: ours(() => sum(x)), work: size / model.parameterCount() };
}
