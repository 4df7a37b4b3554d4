// One more token after 1024 others, batch 1, bf16, as one recorded pass; the limit is the time in which memory gives all
// weights once.
import { inference } from "@openelm/autograd";
import { OpenELM, type OpenELMSize } from "@openelm/models";
import { argmax, device as deviceOf, randint, type Tensor } from "@openelm/tensor";
import { compare } from "../lib/compare.js";
import type { Measurement } from "../lib/measure.js";
import { bytesOnce, inferring, peerModel } from "../lib/models.js";

export const device = "cuda";

const CONTEXT = 1024;
const SIZES: readonly OpenELMSize[] = ["OpenELM-270M", "OpenELM-1_1B", "OpenELM-3B"];

export async function* bench(): AsyncGenerator<Measurement> {
  for (const size of SIZES) {
    const model = new OpenELM(size).initialize().to("bf16");
    const cache = model.newCache({ capacity: CONTEXT + 1 });
    const { vocabSize } = model.config;
    inferring(() => model.hidden(randint([1, CONTEXT], 0, vocabSize), { cache }))(1);
    const token = randint([1, 1], 0, vocabSize);
    using step = deviceOf(device).capture((token: Tensor) =>
      inference(() => argmax(model.forward(token, { cache }), { axis: -1 })),
    );
    const of = { case: "decode", model: peerModel(model), context: CONTEXT, dtype: "bf16", graph: true };
    yield await compare({
      name: `decode ${size} bf16 at ${CONTEXT}`,
      unit: "tokens/s",
      work: 1,
      ours: () => {
        cache.crop(CONTEXT);
        step(token);
      },
      peers: { torch: of, "torch compile": of },
      limit: [bytesOnce(model)],
      rounds: 5,
      seconds: 0.3,
    });
    cache.dispose();
    for (const parameter of model.parameters()) parameter.value.dispose();
  }
}
