// Adapters of ours in mlx-lm, and its own in ours.
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { convertModel, saveAdapter } from "@openelm/models";
import { mustRun } from "../lib/run.mjs";
import { adapted, logitsOf, logitsWith } from "./adapters.mjs";
import { batch, logits, read, saveBytes, saveIds } from "./models.mjs";

/** @typedef {import("./checks.mjs").Place} Place */
/** @typedef {{ name: string, model: string, adapter: string }} Case */

/** Names, and options of ours that mlx-lm has as well. @type {readonly (readonly [string, import("./adapters.mjs").LoRAOptions])[]} */
const OURS = [
  ["LoRA", {}],
  ["DoRA", { dora: true }],
  ["LoRA of some layers", { targets: /layers\.2\.attn|layers\.1\.ffn\.proj2/, rankStabilized: true }],
];

/** Names, kinds, how many blocks get an adapter, settings, and whether beside codes. */
const THEIRS = /** @type {const} */ ([
  ["LoRA", "lora", 3, { rank: 4, scale: 5, dropout: 0 }, false],
  [
    "LoRA of some layers beside codes",
    "lora",
    2,
    { rank: 2, scale: 3, dropout: 0.1, keys: ["attn.out_proj", "ffn.proj_2"] },
    true,
  ],
  ["DoRA", "dora", 2, { rank: 4, scale: 5, dropout: 0 }, false],
]);

/**
 * mlx-lm loads adapters of ours, beside codes too; ours loads what `mlx_lm.lora` trains and `mlx_lm.fuse` merges.
 *
 * @param {string} python @param {Place} place @param {{ large: boolean }} options
 */
export async function mlxAdapters(python, place, { large }) {
  const { folder, report } = place;
  const plain = await saveBytes(path.join(folder, "adapters-plain"));
  const codes = path.join(folder, "adapters-codes");
  await convertModel(plain, codes, { to: "mlx", quantize: { bits: 4, group: 64 }, replace: true });
  const ids = batch(500, [2, 21]);
  const ours = await writeOurs([plain, codes], ids, place);
  const theirs = (large ? THEIRS : THEIRS.slice(0, 2)).map(([kind, type, layers, parameters, isCoded]) => ({
    name: `${kind} of mlx_lm.lora`,
    model: isCoded ? codes : plain,
    adapter: path.join(folder, `mlx-theirs ${kind}`),
    ...{ type, layers, parameters },
  }));
  const fused = ours
    .map((one) => one.case)
    .flatMap((one) => (large || one.name === "LoRA beside codes" ? fusions(one, folder) : []));

  const out = path.join(folder, "mlx-adapters.safetensors");
  const task = path.join(folder, "mlx-adapters.json");
  const idsFile = await saveIds(path.join(folder, "fewer.safetensors"), ids);
  const cases = { read: ours.map((one) => one.case), train: theirs, fuse: fused };
  await writeFile(task, JSON.stringify({ ids: idsFile, out, ...cases }));
  const script = fileURLToPath(new URL("mlx_adapters.py", import.meta.url));
  await mustRun(python, [script, task], { quiet: true });

  for (const { case: one, wanted } of ours)
    report.close("mlx-lm", `our adapter, ${one.name}: logits`, await read(out, one.name), wanted, 1e-4);
  for (const { name, model, adapter } of theirs) {
    const got = await logitsWith(model, adapter, ids);
    report.close("mlx-lm", `its adapter, ${name}: logits`, got, await read(out, name), 1e-4);
  }
  for (const { name, folder: made } of fused)
    report.close(
      "mlx-lm",
      `its folder, ${name}: logits`,
      await logits(made, ids),
      await read(out, name),
      1e-4,
    );
}

/** Adapters of ours beside a plain model and one in codes. @param {[string, string]} models @param {import("@openelm/tensor").Tensor} ids @param {Place} place */
async function writeOurs([plain, codes], ids, { folder }) {
  const cases = [];
  for (const model of [plain, codes]) {
    for (const [kind, options] of OURS) {
      const name = `${kind} beside ${model === plain ? "plain weights" : "codes"}`;
      const adapter = path.join(folder, `mlx-ours ${name}`);
      const { model: ours, lora } = await adapted(model, options);
      await saveAdapter(ours, lora, adapter, { format: "mlx" });
      cases.push({ case: { name, model, adapter }, wanted: await logitsOf(ours, ids) });
    }
  }
  return cases;
}

/** What `mlx_lm.fuse` makes of an adapter: codes stay codes or become numbers. @param {Case} one @param {string} folder */
const fusions = ({ name, model, adapter }, folder) =>
  (name.endsWith("codes") ? [false, true] : [false]).map((dequantize) => {
    const fused = `mlx_lm.fuse of ${name}${dequantize ? ", without codes" : ""}`;
    return { name: fused, model, adapter, dequantize, folder: path.join(folder, fused) };
  });
