// What each program is asked, and what ours says to it.
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Tokenizer } from "@openelm/data";
import { convertModel, OpenELM, openelmConfig } from "@openelm/models";
import { isOpenELMError, tensor } from "@openelm/tensor";
import { mustRun } from "../lib/run.mjs";
import {
  batch,
  logits,
  read,
  referenceConfig,
  SMALL,
  saveBytes,
  saveIds,
  saveModel,
  savePieces,
  strings,
} from "./models.mjs";

/** @typedef {import("./report.mjs").Report} Report */
/** @typedef {{ folder: string, report: Report }} Place */

/** @param {string} name */
const script = (name) => fileURLToPath(new URL(name, import.meta.url));

/** mlx-lm loads what we write by strict names, and ours loads what it writes. @param {string} python @param {Place} place @param {{ large: boolean }} options */
export async function mlx(python, { folder, report }, { large }) {
  const run = (/** @type {string[]} */ ...args) =>
    mustRun(python, [script("mlx_check.py"), ...args], { quiet: true });
  const hf = await savePieces(path.join(folder, "mlx-source"));
  const ids = batch(SMALL.vocabSize, [2, 21]);
  const idsFile = await saveIds(path.join(folder, "ids.safetensors"), ids);
  const cases = [
    [0, 0],
    [4, 64],
    [4, 32],
    [8, 64],
    [8, 32],
  ];
  // Each starts a program anew.
  for (const [bits = 0, group = 0] of large ? cases : cases.slice(0, 2)) {
    const name = bits === 0 ? "without codes" : `${bits} bits, groups of ${group}`;
    const ours = path.join(folder, `mlx-${bits}-${group}`);
    await convertModel(hf, ours, {
      to: "mlx",
      ...(bits === 0 ? {} : { quantize: { bits, group } }),
      replace: true,
    });
    const out = path.join(folder, "mlx-logits.safetensors");
    await run("logits", ours, idsFile, out);
    report.close(
      "mlx-lm",
      `our folder ${name}: logits`,
      await read(out, "logits"),
      await logits(ours, ids),
      1e-4,
    );
  }
  // mlx-lm loads a tokenizer together with a model that it converts, in a form that its library reads.
  const bytes = await saveBytes(path.join(folder, "mlx-bytes"));
  const fewer = batch(500, [2, 21]);
  const fewerFile = await saveIds(path.join(folder, "fewer.safetensors"), fewer);
  const theirs = [
    [4, 64],
    [0, 0],
  ];
  for (const [bits = 0, group = 0] of large ? theirs : theirs.slice(0, 1)) {
    const name = bits === 0 ? "without codes" : `${bits} bits, groups of ${group}`;
    const made = path.join(folder, `their-mlx-${bits}`);
    if (!existsSync(made)) await run("convert", bytes, made, String(bits), String(group));
    const out = path.join(folder, "mlx-logits.safetensors");
    await run("logits", made, fewerFile, out);
    const wanted = await read(out, "logits");
    report.close("mlx-lm", `its folder ${name}: logits`, await logits(made, fewer), wanted, 1e-4);
    await roundTrip(made, "mlx", bits === 0 ? "hf" : "mlx", { folder, report });
  }
}

/** What was converted there and back has the same bytes. @param {string} source @param {"mlx" | "hf"} form @param {"mlx" | "hf"} through @param {Place} place */
async function roundTrip(source, form, through, { folder, report }) {
  const [there, back] = [path.join(folder, "there"), path.join(folder, "back")];
  await convertModel(source, there, { to: through, replace: true });
  await convertModel(there, back, { to: form, replace: true });
  for (const name of ["model.safetensors", "config.json", "model.safetensors.index.json"]) {
    if (!existsSync(path.join(source, name))) continue;
    const [a, b] = [
      await readFile(path.join(source, name)),
      await readFile(path.join(back, name)).catch(() => undefined),
    ];
    report.that(
      "mlx-lm",
      `its ${name} is the same after ${through} and back`,
      b !== undefined && a.equals(b),
    );
  }
}

/** PyTorch's reference loads what we write by strict names, and ours loads what it saves. @param {string} python @param {Place} place */
export async function torch(python, { folder, report }) {
  const run = (/** @type {string[]} */ ...args) =>
    mustRun(python, [script("torch_check.py"), ...args], { quiet: true });
  const hf = await saveModel(path.join(folder, "torch-source"), SMALL);
  const ids = batch(SMALL.vocabSize, [2, 21]);
  const idsFile = await saveIds(path.join(folder, "ids.safetensors"), ids);
  const wanted = await logits(hf, ids);
  const config = referenceConfig(SMALL);
  const corenet = path.join(folder, "ours.pt");
  await convertModel(hf, corenet, { to: "corenet", replace: true });
  const out = path.join(folder, "torch-logits.safetensors");
  for (const file of [path.join(hf, "model.safetensors"), corenet]) {
    await run("logits", file, idsFile, out, config);
    report.close("PyTorch", `our ${path.basename(file)}: logits`, await read(out, "logits"), wanted, 1e-5);
  }
  const saved = path.join(folder, "torch-saved");
  await mkdir(saved, { recursive: true });
  await run("save", path.join(hf, "model.safetensors"), saved);
  const original = await readFile(path.join(hf, "model.safetensors"));
  for (const [name, state] of /** @type {const} */ ([
    ["checkpoint_average.pt", "model"],
    ["training_checkpoint_last.pt", "ema"],
  ])) {
    const back = path.join(folder, "torch-back");
    await convertModel(path.join(saved, name), back, { to: "hf", state, replace: true });
    const bytes = await readFile(path.join(back, "model.safetensors"));
    report.that("PyTorch", `its ${name}, ${state}: the same bytes as before`, bytes.equals(original));
  }
  const half = path.join(folder, "torch-half");
  await convertModel(path.join(saved, "bf16.pt"), half, { to: "hf", replace: true });
  report.close("PyTorch", "its bf16.pt: logits", await logits(half, ids), wanted, 0.2);
  const error = await convertModel(path.join(saved, "hostile.pt"), half, { to: "hf", replace: true }).catch(
    (e) => e,
  );
  const isRefused = isOpenELMError(error, "FORMAT") && !existsSync(path.join(saved, "executed"));
  report.that(
    "PyTorch",
    "its file that would execute code: refused, nothing executed",
    isRefused,
    String(error.message).slice(-100),
  );
}

/** ggml's package reads the numbers that we write, and ours those of its blocks. @param {string} python @param {Place} place */
export async function gguf(python, { folder, report }) {
  const run = (/** @type {string[]} */ ...args) =>
    mustRun(python, [script("gguf_check.py"), ...args], { quiet: true });
  const hf = await saveModel(path.join(folder, "gguf-source"), SMALL);
  const out = path.join(folder, "gguf.safetensors");
  for (const encoding of /** @type {const} */ (["f32", "f16", "bf16", "q8_0", "q4_0"])) {
    const file = path.join(folder, `${encoding}.gguf`);
    await convertModel(hf, file, { to: "gguf", encoding, replace: true });
    await run("read", file, out);
    const back = path.join(folder, "gguf-back");
    await convertModel(file, back, { to: "hf", dtype: "f32", replace: true });
    const ours = await read(
      path.join(back, "model.safetensors"),
      "transformer.layers.1.attn.qkv_proj.weight",
    );
    report.close(
      "gguf",
      `our file in ${encoding}: numbers`,
      await read(out, "blk.1.attn_qkv.weight"),
      ours,
      0,
    );
  }
  const theirs = path.join(folder, "q4_k.gguf");
  await run("save", theirs, out);
  const back = path.join(folder, "gguf-back");
  await convertModel(theirs, back, { to: "hf", replace: true });
  const ours = await read(path.join(back, "model.safetensors"), "transformer.layers.0.ffn.proj_2.weight");
  report.close("gguf", "its file in Q4_K: numbers", ours, await read(out, "blk.0.ffn_down.weight"), 0);
}

/** llama.cpp goes on with the same tokens as ours, and splits text as ours does. @param {string} modules @param {Place} place @param {{ large: boolean }} options */
export async function llama(modules, { folder, report }, { large }) {
  const texts = await strings();
  const pieces = await savePieces(path.join(folder, "llama-pieces"));
  const encodings = /** @type {const} */ (["f32", "q8_0", "bf16", "q4_0"]);
  for (const encoding of large ? encodings : encodings.slice(0, 2)) {
    await generation(modules, pieces, encoding, texts, { folder, report });
  }
  const bytes = await saveBytes(path.join(folder, "llama-bytes"));
  await generation(modules, bytes, "f32", texts, { folder, report });
  if (!large) return;
  const shaped = await savePieces(path.join(folder, "llama-270m"), openelmConfig("OpenELM-270M"));
  await generation(modules, shaped, "f32", texts, { folder, report });
}

/**
 * Of log-probabilities. In f32 sums have another order. llama.cpp rounds what meets a matrix to halves or, where the
 * matrix is in blocks, to 8 bits: half a step of 1/127 of the largest of 32, in each of some twenty products.
 */
const ALLOWED = { f32: 1e-3, bf16: 4e-2, q8_0: 1e-1, q4_0: 1e-1 };
const NEW_TOKENS = 64;

/** @param {string} modules @param {string} hf @param {keyof typeof ALLOWED} encoding @param {string[]} texts @param {Place} place */
async function generation(modules, hf, encoding, texts, { folder, report }) {
  const name = `${path.basename(hf)} in ${encoding}`;
  const file = path.join(folder, `${path.basename(hf)}-${encoding}.gguf`);
  await convertModel(hf, file, { to: "gguf", encoding, replace: true });
  const prompt = Array.from({ length: 8 }, (_, i) => 260 + ((i * 37) % 200));
  const [task, out] = [path.join(folder, "task.json"), path.join(folder, "answer.json")];
  await writeFile(task, JSON.stringify({ prompt, count: NEW_TOKENS, texts }));
  await mustRun(process.execPath, [script("llama_check.mjs"), modules, file, task, out], { quiet: true });
  const answer = JSON.parse(await readFile(out, "utf8"));
  // Ours runs the same numbers as plain f32.
  const plain = path.join(folder, "llama-plain");
  await convertModel(file, plain, { to: "hf", dtype: "f32", replace: true });
  const model = (await OpenELM.load(plain)).eval();
  const rows = await scores(model, [...prompt, ...answer.tokens.slice(0, -1)]);
  const ours = rows.slice(prompt.length - 1);
  report.same("llama.cpp", `${name}: ${NEW_TOKENS} greedy tokens`, ours.map(best), answer.tokens);
  let largest = 0;
  for (const [i, likeliest] of answer.likeliest.entries()) {
    for (const [token, p] of likeliest)
      largest = Math.max(largest, Math.abs(Math.log(p) - (ours[i]?.[token] ?? Number.NaN)));
  }
  report.that(
    "llama.cpp",
    `${name}: log-probabilities of the likeliest 20`,
    largest <= ALLOWED[encoding],
    `difference ${largest.toExponential(1)}, allowed ${ALLOWED[encoding]}`,
  );
  const tokenizer = await Tokenizer.load(hf);
  const wanted = (await tokenizer.encodeBatch(texts)).map((ids) => [...ids]);
  const different = texts.filter((_, i) => JSON.stringify(wanted[i]) !== JSON.stringify(answer.ids[i]));
  report.that(
    "llama.cpp",
    `${name}: ids of ${texts.length} strings`,
    different.length === 0,
    different.length === 0 ? "" : `${different.length} differ: ${JSON.stringify(different).slice(0, 300)}`,
  );
}

/** Log-probabilities after each token. @param {OpenELM} model @param {number[]} ids */
async function scores(model, ids) {
  const logits = model.forward(tensor(Int32Array.from(ids), { shape: [1, ids.length] }));
  const values = /** @type {Float32Array} */ (await logits.data());
  const size = values.length / ids.length;
  return ids.map((_, i) => {
    const row = values.subarray(i * size, (i + 1) * size);
    const most = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
    return Float64Array.from(row, (x) => x - most - Math.log(sum));
  });
}

/** @param {Float64Array} row */
const best = (row) => row.indexOf(row.reduce((a, b) => Math.max(a, b)));
