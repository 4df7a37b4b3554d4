// llama.cpp as node-llama-cpp brings it, compiled for this processor: one library for each generation is in the package,
// and the best that runs is taken. What is timed is a batch of llama.cpp and nothing of the package beside it.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { load, PEERS, serve, THREADS } from "./protocol.mjs";

const { module: package_, version } = await load("node-llama-cpp");
const llama = await package_.getLlama({
  gpu: false,
  build: "never",
  logLevel: package_.LlamaLogLevel.error,
  maxThreads: THREADS,
});

/** The model as GGUF; made once. */
function ggufOf(model, dtype) {
  const folder = path.join(PEERS, "gguf");
  const key = createHash("sha256").update(JSON.stringify(model)).digest("hex").slice(0, 12);
  const file = path.join(folder, `${key}-${dtype}.gguf`);
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    const script = fileURLToPath(new URL("make_gguf.py", import.meta.url));
    execFileSync(path.join(PEERS, "venv/bin/python"), [script, file, dtype, JSON.stringify(model)], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }
  return file;
}

let held;

/** An empty context of a model; the one before goes, which is not waited for: that wait has been seen not to end. */
async function contextOf(model, dtype, size) {
  held?.dispose().catch(() => {});
  held = await llama.loadModel({ modelPath: ggufOf(model, dtype) });
  const context = await held.createContext({
    contextSize: size,
    batchSize: size,
    sequences: 1,
    threads: { ideal: THREADS, min: THREADS },
  });
  context.getSequence();
  return context._ctx;
}

/** Tokens of a sequence from position `start` on; the logits of the last are computed. */
async function evaluate(context, start, tokens) {
  context.removeTokenCellsFromSequence(0, start, -1);
  context.initBatch(tokens.length);
  context.addToBatch(0, start, tokens, Uint32Array.of(tokens.length - 1));
  await context.decodeBatch();
}

const prompt = (length, vocab) => Uint32Array.from({ length }, (_, i) => 300 + ((i * 7919) % (vocab - 300)));

async function prefill({ model, time, dtype = "f32" }) {
  const context = await contextOf(model, dtype, time);
  const tokens = prompt(time, model.vocab);
  return () => evaluate(context, 0, tokens);
}

async function decode({ model, context: length, dtype = "f32" }) {
  const context = await contextOf(model, dtype, length + 1);
  await evaluate(context, 0, prompt(length, model.vocab));
  const token = Uint32Array.of(301);
  return () => evaluate(context, length, token);
}

/** The model loaded anew, and the first token behind a prompt where there is one. */
async function start({ model, prompt: length, dtype = "f32" }) {
  return async () => {
    const context = await contextOf(model, dtype, Math.max(1, length));
    if (length > 0) await evaluate(context, 0, prompt(length, model.vocab));
  };
}

/** The processor that the library in use was compiled for, where the system tells. */
function processor() {
  try {
    return readFileSync("/proc/self/maps", "utf8").match(/ggml-cpu-(\w+)/)?.[1] ?? "unknown";
  } catch {
    return "unknown";
  }
}

const release = `llama.cpp ${llama.llamaCppRelease.release} for ${processor()}`;
await serve(`node-llama-cpp ${version} (${release})`, { prefill, decode, start });
