// What quantization costs: a run's model rounded to nearest and by GPTQ, on text that it was not trained on.
import { parseArgs } from "node:util";
import { openShards, type Shards } from "@openelm/data";
import { calibrate, OpenELM, perplexity } from "@openelm/models";
import { Embedding, Linear, quantize } from "@openelm/nn";

const HELP = `npm run bench:quantization -- RUN [options]

Quantizes the model of a run whose shards hold text out (openelm quickstart, openelm train), and prints perplexity,
bits per byte, KL divergence from the model in full precision and top-1 agreement on that text.

  --sequences N    pieces of training text that GPTQ sees. Default: 96
  --length N       their tokens. Default: 256
  --documents N    held-out documents that are scored. Default: 700

Example:
  npm run bench:quantization -- runs/quickstart`;

/** Bits and groups. */
const SETTINGS = [
  [4, 64],
  [4, 32],
  [3, 64],
  [3, 32],
  [2, 32],
] as const;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sequences: { type: "string", default: "96" },
    length: { type: "string", default: "256" },
    documents: { type: "string", default: "700" },
    help: { type: "boolean", default: false },
  },
});
const [run] = positionals;
if (run === undefined || options.help) {
  process.stdout.write(`${HELP}\n`);
  process.exit(options.help ? 0 : 2);
}

const load = async (): Promise<OpenELM> => (await OpenELM.load(`${run}/model`)).eval();
const [train, heldOut] = await Promise.all([
  openShards(`${run}/shards`),
  openShards(`${run}/shards`, { split: "validation" }),
]);
const base = await load();
const [length, count] = [Number(options.length), Number(options.sequences)];
const sequences = await piecesOf(train, length, count);
const { texts, bytes } = await textsOf(heldOut, Number(options.documents));
const reference = await perplexity(base, texts, { bytes });
process.stdout.write(
  `${reference.tokens} tokens of ${texts.length} held-out documents, in windows of ${reference.window}; ` +
    `GPTQ sees ${sequences.length} pieces of ${length} tokens\n\n` +
    "| bits | group | method | perplexity | bits/byte | KL, nats | same top token |\n|---|---|---|---|---|---|---|\n" +
    `| full | | | ${reference.perplexity.toFixed(2)} | ${reference.bitsPerByte!.toFixed(4)} | | |\n`,
);
for (const [bits, group] of SETTINGS) {
  for (const method of ["rtn", "gptq"] as const) {
    const model = await load();
    const fitting = layersOf(model, group);
    const filter = (path: string): boolean => fitting.has(path);
    if (method === "rtn") quantize(model, { bits, group, filter });
    else await calibrate(model, { sequences, bits, group, filter });
    const {
      perplexity: value,
      bitsPerByte,
      against,
    } = await perplexity(model, texts, { against: base, bytes });
    const agreement = `${(100 * against!.agreement).toFixed(1)}%`;
    process.stdout.write(
      `| ${bits} | ${group} | ${method} | ${value.toFixed(2)} | ${bitsPerByte!.toFixed(4)} | ${against!.kl.toFixed(5)} | ${agreement} |\n`,
    );
  }
}

/** Paths of the layers whose rows are whole groups. */
function layersOf(model: OpenELM, group: number): Set<string> {
  const isFit = (layer: unknown): boolean =>
    (layer instanceof Linear || layer instanceof Embedding) && layer.weight.shape[1]! % group === 0;
  return new Set([...model.namedModules()].flatMap(([path, layer]) => (isFit(layer) ? [path] : [])));
}

/** Documents of all parts of the training text, one behind the other. */
async function piecesOf(shards: Shards, length: number, count: number): Promise<Int32Array[]> {
  const ids: number[] = [];
  // A prime, so that neighbours in the text are far apart here.
  for (let i = 0; i < shards.documents && ids.length < length * count; i++)
    ids.push(...(await shards.document((i * 7919) % shards.documents)));
  const whole = Math.min(count, Math.floor(ids.length / length));
  return Array.from({ length: whole }, (_, i) => Int32Array.from(ids.slice(i * length, (i + 1) * length)));
}

/** Held-out documents without the token that ends them, and their bytes. */
async function textsOf(
  shards: Shards,
  count: number,
): Promise<{ readonly texts: Int32Array[]; readonly bytes: number }> {
  const tokenizer = await shards.tokenizer();
  const texts: Int32Array[] = [];
  let bytes = 0;
  for (let i = 0; i < Math.min(count, shards.documents); i++) {
    const ids = await shards.document(i);
    texts.push(ids.at(-1) === tokenizer.eosId ? ids.subarray(0, -1) : ids);
    bytes += Buffer.byteLength(await tokenizer.decode(texts.at(-1)!));
  }
  return { texts, bytes };
}
