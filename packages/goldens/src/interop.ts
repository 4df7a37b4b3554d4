//! A checkpoint in the Hugging Face layout against the logits of mlx-lm and of an f64 computation.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HF_NAMES, OpenELM, readConfig, toHFConfig } from "@openelm/models";
import { concat, saveSafetensors, type Tensor } from "@openelm/tensor";
import type { Goldens } from "./files.js";
import type { Report } from "./report.js";

const LOGITS = 2e-5;

export async function checkInterop(goldens: Goldens, report: Report): Promise<void> {
  const golden = await goldens.json<{
    q_heads: number[];
    kv_heads: number[];
    ffn_dims: number[];
    chunks_used_with_cache: number[];
  }>("interop.json");
  const tensors = await goldens.tensors("interop.safetensors");
  const folder = join(goldens.dir, "hf-tiny");
  const model = await OpenELM.load(folder);
  const { layerShapes } = model.config;
  report.same(
    "interop",
    "query heads",
    layerShapes.map((s) => s.queryHeads),
    golden.q_heads,
  );
  report.same(
    "interop",
    "kv heads",
    layerShapes.map((s) => s.kvHeads),
    golden.kv_heads,
  );
  report.same(
    "interop",
    "feed-forward widths",
    layerShapes.map((s) => s.feedForwardDim),
    golden.ffn_dims,
  );
  const ids = tensors.get("ids")!.to("i32");
  const wanted = (await tensors.get("logits_f64")!.data()) as Float32Array;
  const mlx = (await tensors.get("logits_mlx_f32")!.data()) as Float32Array;
  const logits = (await model.forward(ids).data()) as Float32Array;
  report.close("interop", "logits against f64", logits, wanted, LOGITS);
  report.close("interop", "logits against mlx-lm", logits, mlx, LOGITS);
  using cache = model.newCache({ batch: ids.shape[0]!, capacity: ids.shape[1]! });
  const parts: Tensor[] = [];
  let at = 0;
  for (const length of golden.chunks_used_with_cache) {
    parts.push(model.forward(ids.at(":", `${at}:${at + length}`) as Tensor, { cache }));
    at += length;
  }
  report.close(
    "interop",
    "logits in chunks",
    (await concat(parts, { axis: 1 }).data()) as Float32Array,
    wanted,
    LOGITS,
  );
  await checkRoundTrip(folder, model, report);
  tensors.dispose();
}

/** What we write of a checkpoint equals what was read, byte for byte. */
async function checkRoundTrip(folder: string, model: OpenELM, report: Report): Promise<void> {
  const temporary = await mkdtemp(join(tmpdir(), "openelm-goldens-"));
  try {
    const path = join(temporary, "model.safetensors");
    await saveSafetensors(path, model.state(HF_NAMES), { metadata: { format: "pt" } });
    const [before, after] = [await readFile(join(folder, "model.safetensors")), await readFile(path)];
    report.same("interop", "model.safetensors round trip", before.equals(after), true);
    const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8")) as object;
    report.same(
      "interop",
      "config.json round trip",
      sorted(toHFConfig(await readConfig(folder))),
      sorted(config),
    );
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

const sorted = (value: object): unknown => Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
