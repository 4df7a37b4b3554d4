// llama.cpp on a GGUF file of ours: node llama_check.mjs MODULES FILE TASK.json OUT.json
//
// The task has a prompt of ids, how many tokens follow, and texts to split.
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules = "", file = "", task = "", out = ""] = process.argv.slice(2);
const library = await import(pathToFileURL(path.join(modules, "node-llama-cpp/dist/index.js")).href);
const { prompt, count, texts } = JSON.parse(await readFile(task, "utf8"));

const llama = await library.getLlama({ gpu: false, build: "never", logLevel: library.LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: file });
// Threads that wait for each other by spinning are slow where other work goes on.
const options = {
  contextSize: 256,
  threads: 1,
  experimentalKvCacheKeyType: "F32",
  experimentalKvCacheValueType: "F32",
};
const context = await model.createContext({ ...options, flashAttention: false });
const sequence = context.getSequence();

/** @type {number[]} */
const tokens = [];
/** @type {[number, number][][]} */
const likeliest = [];
const evaluated = sequence.evaluateWithMetadata(
  prompt,
  { probabilities: true },
  { temperature: 0, yieldEogToken: true },
);
for await (const { token, probabilities } of evaluated) {
  tokens.push(token);
  likeliest.push([...probabilities].slice(0, 20));
  if (tokens.length === count) break;
}
const ids = texts.map((/** @type {string} */ text) => [...model.tokenize(text, false)]);
await writeFile(out, JSON.stringify({ tokens, likeliest, ids }));
// Its threads would keep the process.
process.exit(0);
