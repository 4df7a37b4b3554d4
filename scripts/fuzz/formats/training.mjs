// What a training run reads: its configuration, and the log that it goes on with.
import { readFileSync } from "node:fs";
import path from "node:path";
import { configSchedule, JsonlLog, loadTrainConfig, printTrainConfig } from "@openelm/train";
import { mutateBytes } from "../mutate/bytes.mjs";
import { mutateJson } from "../mutate/json.mjs";
import { mutateYaml } from "../mutate/text.mjs";
import { changed } from "./models.mjs";

/** @typedef {import("../inputs.mjs").Format} Format */

/** @param {string} text */
const utf8 = (text) => new Uint8Array(Buffer.from(text));

const CONFIGS = [
  `version: 1
model: OpenELM-270M
data: { shards: corpus }
optim: { kind: adamw, lr: 1e-3 }
steps: 100
`,
  `# A small one.
version: 1
model:
  layers: 4
  modelDim: 64
  headDim: 16
  attention: [0.5, 1.0]
  feedForward: &width [0.5, 4]
data:
  text:
    - a.txt
    - "b*.jsonl"
tokenizer: { vocabSize: 512 }
optim:
  kind: adamw
  lr: 0.001
  betas: [0.9, 0.95]
schedule: { kind: cosine, warmup: 10 }
batch: { sequenceLength: 32 }
steps: 50
`,
];

/** @type {Format} */
export const trainConfig = {
  about: "configurations of training, in YAML",
  samples: async () => CONFIGS.map((text) => new Map([["train.yaml", utf8(text)]])),
  mutate: (random, files) => changed(files, "train.yaml", (bytes) => mutateYaml(random, bytes)),
  async read(folder) {
    const config = await loadTrainConfig(path.join(folder, "train.yaml"));
    printTrainConfig(config);
    configSchedule(config, 100);
  },
};

const LINES = Array.from({ length: 6 }, (_, i) =>
  utf8(JSON.stringify({ type: "step", step: i + 1, loss: 3 - i / 10, lr: 1e-3, tokens: 64 * i })),
);

/** @type {Format} */
export const metrics = {
  about: "logs of training, which a run that goes on cuts where it stands",
  lenient: true,
  samples: async () => [
    new Map([["metrics.jsonl", Buffer.concat(LINES.flatMap((line) => [line, utf8("\n")]))]]),
  ],
  mutate: (random, files) =>
    changed(files, "metrics.jsonl", (bytes) => {
      if (random.once(3)) return mutateBytes(random, bytes);
      const lines = LINES.map((line) => (random.once(4) ? mutateJson(random, line) : line));
      return new Uint8Array(
        Buffer.concat(lines.flatMap((line) => [line, utf8(random.once(40) ? "\r" : "\n")])),
      );
    }),
  async read(folder) {
    const file = path.join(folder, "metrics.jsonl");
    const log = await JsonlLog.open(file, 4);
    await log.write({ step: 5, loss: Number.NaN });
    await log.close();
    const lines = readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    if (!lines.every(({ step }) => step <= 5)) throw new Error("the log has steps that come after the run's");
  },
};
