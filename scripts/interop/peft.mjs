// Adapters of ours in PEFT, and its own in ours.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { convertAdapter, saveAdapter } from "@openelm/models";
import { isOpenELMError } from "@openelm/tensor";
import { mustRun, ROOT } from "../lib/run.mjs";
import { adapted, logitsOf, logitsWith } from "./adapters.mjs";
import { batch, logits, read, referenceConfig, SMALL, saveIds, savePieces } from "./models.mjs";
import { largestDifference } from "./report.mjs";

/** @typedef {import("./checks.mjs").Place} Place */
/** @typedef {import("./adapters.mjs").LoRAOptions} LoRAOptions */

/** What `openelm train --lora` leaves of a few steps. @param {string} model @param {string} folder */
async function trained(model, folder) {
  const text = path.join(folder, "notes.txt");
  const lines = Array.from({ length: 400 }, (_, i) => `Note ${i}: ${i} times ${i} is ${i * i}.`);
  await mkdir(folder, { recursive: true });
  await writeFile(text, lines.join("\n"));
  const run = path.join(folder, "run");
  const options = ["--lora", "rank=4,targets=attn", "--steps", "4", "--set", "seed=1"];
  const openelm = path.join(ROOT, "packages/openelm/bin/openelm.js");
  await mustRun(
    process.execPath,
    [openelm, "train", "--text", text, "--from", model, ...options, "--folder", run],
    {
      quiet: true,
    },
  );
  return path.join(run, "adapter");
}

/** Names, and options of ours. @type {readonly (readonly [string, LoRAOptions])[]} */
const OURS = [
  ["LoRA", {}],
  ["rsLoRA", { rankStabilized: true }],
  ["DoRA", { dora: true }],
  ["LoRA of some layers", { targets: /layers\.1\.attn|ffn\.proj2/ }],
  [
    "LoRA of other ranks and alphas",
    {
      rankStabilized: true,
      layer: (name) =>
        name.endsWith("proj1") ? { rank: 2, alpha: 8 } : name.includes("s.2.attn") ? { alpha: 3 } : {},
    },
  ],
  ["LoRA of look-ups", { targets: /tokenEmbeddings|qkvProj/ }],
];

const ATTENTION = ["qkv_proj", "out_proj"];

/** Names, and settings of PEFT's `LoraConfig`. @type {Readonly<Record<string, Record<string, unknown>>>} */
const OF_PEFT = {
  LoRA: { r: 4, lora_alpha: 12, target_modules: ["qkv_proj", "proj_2"], lora_dropout: 0.1 },
  "all linear layers": { r: 4, lora_alpha: 4, target_modules: "all-linear" },
  rsLoRA: { r: 4, lora_alpha: 12, target_modules: ATTENTION, use_rslora: true },
  DoRA: { r: 4, lora_alpha: 12, target_modules: ["qkv_proj", "proj_1", "proj_2"], use_dora: true },
  "layers by a regular expression": { r: 2, target_modules: ".*layers\\.[12]\\.attn\\..*_proj" },
  "layers by number": { target_modules: ATTENTION, layers_to_transform: [0, 2], layers_pattern: "layers" },
  "patterns of ranks and alphas": {
    r: 4,
    lora_alpha: 4,
    target_modules: [...ATTENTION, "proj_1", "proj_2"],
    rank_pattern: { "1.attn.qkv_proj": 2, "^transformer.layers.2.ffn.proj_.": 6 },
    // A pattern from the begin of a name that does not begin so.
    alpha_pattern: { "^layers.0.attn.out_proj": 99, proj_2: 3, "attn.out_proj": 9 },
  },
  "LoRA of look-ups": { r: 4, lora_alpha: 8, target_modules: ["token_embeddings", "out_proj"] },
  "a start with a Gaussian": { r: 4, target_modules: ATTENTION, init_lora_weights: "gaussian" },
  "PiSSA, converted": { r: 4, target_modules: ATTENTION, init_lora_weights: "pissa", converted: true },
  "an orthogonal start": { r: 4, target_modules: ATTENTION, init_lora_weights: "orthogonal" },
};

/** What makes another model of the one that is there. @type {typeof OF_PEFT} */
const REFUSED = {
  PiSSA: { r: 4, target_modules: ATTENTION, init_lora_weights: "pissa" },
  OLoRA: { r: 4, target_modules: ATTENTION, init_lora_weights: "olora" },
  "trained biases": { r: 4, target_modules: ATTENTION, lora_bias: true },
  "saved modules": { r: 4, target_modules: ATTENTION, modules_to_save: ["norm"] },
  "trained tokens": {
    r: 4,
    target_modules: ATTENTION,
    trainable_token_indices: { token_embeddings: [3, 5] },
  },
  "a beginning that turns it on": { r: 4, target_modules: ATTENTION, alora_invocation_tokens: [7, 8] },
};

/** PEFT loads adapters of ours beside PyTorch's reference, and ours loads what PEFT saves. @param {string} python @param {Place} place */
export async function peft(python, { folder, report }) {
  const hf = await savePieces(path.join(folder, "peft-source"));
  const ids = batch(SMALL.vocabSize, [2, 21]);
  /** @type {Map<string, { place: string, logits: Float32Array }>} */
  const ours = new Map();
  const place = (/** @type {string} */ name) => path.join(folder, "peft-ours", name);
  for (const [name, options] of OURS) {
    const { model, lora } = await adapted(hf, options);
    await saveAdapter(model, lora, place(name), { base: hf });
    ours.set(name, { place: place(name), logits: await logitsOf(model, ids) });
  }
  const { model, lora } = await adapted(hf, { targets: /attn/ });
  await saveAdapter(model, lora, place("mlx"), { format: "mlx" });
  await convertAdapter(place("mlx"), place("LoRA out of mlx-lm's form"), { to: "peft" });
  ours.set("LoRA out of mlx-lm's form", {
    place: place("LoRA out of mlx-lm's form"),
    logits: await logitsOf(model, ids),
  });
  const ofRun = await trained(hf, path.join(folder, "peft-run"));
  ours.set("adapter", { place: ofRun, logits: await logitsWith(hf, ofRun, ids) });

  const theirs = path.join(folder, "peft-theirs");
  const [task, out] = [path.join(folder, "peft.json"), path.join(folder, "peft.safetensors")];
  const values = {
    model: path.join(hf, "model.safetensors"),
    config: referenceConfig(SMALL),
    ids: await saveIds(path.join(folder, "ids.safetensors"), ids),
    read: Array.from(ours.values(), (one) => one.place),
    write: { ...OF_PEFT, ...REFUSED },
    folder: theirs,
    out,
  };
  await writeFile(task, JSON.stringify(values));
  await mustRun(python, [fileURLToPath(new URL("peft_check.py", import.meta.url)), task], { quiet: true });

  const plain = await logits(hf, ids);
  for (const [name, { logits: wanted }] of ours) {
    const shown = name === "adapter" ? "that openelm train left" : name;
    const values = await read(out, `read.${name}`);
    report.close("PEFT", `our adapter, ${shown}: logits`, values, wanted, 1e-5);
    const change = largestDifference(wanted, plain);
    if (!(change > 0.05))
      report.that("PEFT", `our adapter, ${shown}: changes the model`, false, String(change));
    if (name.endsWith("look-ups")) continue;
    report.close(
      "PEFT",
      `our adapter, ${shown}, merged there: logits`,
      await read(out, `merged.${name}`),
      wanted,
      1e-5,
    );
  }
  for (const name of Object.keys(OF_PEFT)) {
    const got = await logitsWith(hf, path.join(theirs, name), ids);
    report.close("PEFT", `its adapter, ${name}: logits`, got, await read(out, `write.${name}`), 1e-5);
  }
  for (const name of Object.keys(REFUSED)) {
    const error = await logitsWith(hf, path.join(theirs, name), ids).catch((e) => e);
    report.that(
      "PEFT",
      `its adapter, ${name}: refused`,
      isOpenELMError(error, "FORMAT"),
      String(error.message),
    );
  }
}
