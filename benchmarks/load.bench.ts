// From a model's files to its first token, with the files in the system's cache: what a program that starts waits for.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inference } from "@openelm/autograd";
import { OpenELM, saveOpenELM } from "@openelm/models";
import { quantize } from "@openelm/nn";
import { randint } from "@openelm/tensor";
import { compare } from "./lib/compare.js";
import type { Measurement } from "./lib/measure.js";
import { peerModel } from "./lib/models.js";
import type { Contender } from "./lib/turns.js";

const PROMPT = 32;
const DTYPES = ["bf16", "q8"] as const;

export async function* bench(): AsyncGenerator<Measurement> {
  for (const dtype of DTYPES) {
    const folder = await mkdtemp(join(tmpdir(), "openelm-load-"));
    try {
      const model = await saved(folder, dtype);
      for (const prompt of [0, PROMPT]) {
        yield await compare({
          name: `load OpenELM-270M ${dtype}${prompt === 0 ? "" : `, first token after ${prompt}`}`,
          unit: "µs",
          work: 1,
          ours: starting(folder, prompt),
          timesItself: true,
          peers: { "llama.cpp": { case: "start", model, prompt, dtype } },
          rounds: 5,
          seconds: 1,
        });
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

/** Writes the model in bf16, or in codes of 8 bits for groups of 32 with f16 scales, as GGUF has them. */
async function saved(folder: string, dtype: (typeof DTYPES)[number]): Promise<object> {
  const model = new OpenELM("OpenELM-270M").initialize();
  if (dtype === "bf16") model.to("bf16");
  else quantize(model, { bits: 8, group: 32, scaleDtype: "f16" });
  await saveOpenELM(model, folder);
  const like = peerModel(model);
  for (const parameter of model.parameters()) parameter.value.dispose();
  return like;
}

/** Loads the model anew each time, and waits for the scores behind a prompt where there is one. */
function starting(folder: string, prompt: number): Contender {
  return async (calls) => {
    const since = performance.now();
    for (let i = 0; i < calls; i++) {
      const model = (await OpenELM.load(folder, { mmap: true })).eval();
      if (prompt > 0) {
        const ids = randint([1, prompt], 0, model.config.vocabSize);
        using cache = model.newCache({ capacity: prompt });
        const scores = inference(() => model.forward(ids, { cache, last: true }));
        await scores.data();
        for (const tensor of [ids, scores]) tensor.dispose();
      }
      for (const parameter of model.parameters()) parameter.value.dispose();
    }
    return (performance.now() - since) / 1e3;
  };
}
