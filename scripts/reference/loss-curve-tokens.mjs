// Writes the batches of the loss curve: node scripts/reference/loss-curve-tokens.mjs SHARDS
//
// SHARDS is the folder of a prepared corpus with the vocabulary of loss-curve/config.json; the quickstart leaves one
// in its own folder. The batches are the first that the quickstart's loader gives. Needs `npm run build` before.
import { readFileSync, writeFileSync } from "node:fs";
import { openShards, PackedLoader } from "../../packages/data/dist/index.js";

const FOLDER = new URL("../../packages/goldens/loss-curve/", import.meta.url);
const IGNORED = -100;

const [path, ...rest] = process.argv.slice(2);
if (path === undefined || rest.length > 0) {
  process.stderr.write("usage: node scripts/reference/loss-curve-tokens.mjs SHARDS\n");
  process.exit(2);
}
const config = JSON.parse(readFileSync(new URL("config.json", FOLDER), "utf8"));
const { sequences, sequenceLength } = config.batch;
const { batches, documentStart } = config.tokens;
const shards = await openShards(path);
const { vocabSize } = shards.manifest.tokenizer;
if (vocabSize !== config.model.vocabSize) {
  throw new Error(`${path} has a vocabulary of ${vocabSize}, config.json says ${config.model.vocabSize}`);
}

const loader = new PackedLoader(shards, { sequenceLength, batchSize: sequences, seed: 0 });
/** @type {number[]} */
const inputs = [];
/** @type {number[]} */
const targets = [];
for (let i = 0; i < batches; i++) {
  const batch = await loader.next();
  if (batch === undefined) throw new Error(`${path} has fewer than ${batches} batches`);
  inputs.push(...batch.inputs);
  targets.push(...batch.targets);
}
// Rows follow each other in one stream, and a target is missing exactly where the next token begins a document. So the
// ids alone, with the one behind the last row, say all.
const last = targets.at(-1) === IGNORED ? documentStart : /** @type {number} */ (targets.at(-1));
const stream = [...inputs, last];
for (const [i, target] of targets.entries()) {
  const next = stream[i + 1];
  if (target !== (next === documentStart ? IGNORED : next))
    throw new Error(`token ${i} is not followed by its target`);
}
writeFileSync(new URL("tokens.u16", FOLDER), Uint16Array.from(stream));
process.stdout.write(`${stream.length} tokens of ${shards.id}\n`);
