//! Adapters of a model to files and back.
import { FormatError, UsageError } from "@openelm/native";
import { LoRA, LowRankRows, type Parameter } from "@openelm/nn";
import { type DType, scope, type Tensor, transpose } from "@openelm/tensor";
import { newFolder } from "../convert/files/new-folder.js";
import { CORENET_NAMES, HF_NAMES } from "../openelm/checkpoint-names.js";
import type { OpenELM } from "../openelm/model.js";
import { type AdapterFile, type AdapterFormat, type AdapterLayer, disposeAdapter } from "./adapter-file.js";
import { writeMlxAdapter } from "./mlx-adapter.js";
import { writePeft } from "./peft.js";
import { readAdapter } from "./read-adapter.js";

/** Options of {@link saveAdapter}. */
export interface SaveAdapterOptions {
  /** Whose files. Default `"peft"`. */
  readonly format?: AdapterFormat | undefined;
  /** What PEFT shall call the model: a folder or a name. */
  readonly base?: string | undefined;
  /** Whether a folder that is there is replaced. Default `false`. */
  readonly replace?: boolean | undefined;
}

/**
 * Writes an adapter as a folder that PEFT loads, or mlx-lm; the model itself is not in it.
 *
 * @throws UsageError if the adapter is not in the model, the destination is filled, or mlx-lm has no such adapters.
 * @example
 * ```ts no-run
 * const lora = new LoRA({ rank: 16, targets: /attn/ });
 * model.apply(lora);
 * // … training …
 * await saveAdapter(model, lora, "adapter", { base: "apple/OpenELM-270M" });
 * ```
 */
export async function saveAdapter(
  model: OpenELM,
  lora: LoRA,
  folder: string,
  { format = "peft", base, replace = false }: SaveAdapterOptions = {},
): Promise<void> {
  if (lora.layers.size === 0) throw new UsageError("saveAdapter: the adapter is in no model");
  const { dropout = 0, rankStabilized = false, dora = false } = lora.options;
  const layers = new Map<string, AdapterLayer>();
  const made: Tensor[] = [];
  for (const [path, { lora: parts }] of lora.layers) {
    const isTable = parts instanceof LowRankRows;
    // Ours lies by rows, which look-ups read one by one.
    const a = isTable ? scope(() => transpose(parts.a.value).contiguous()) : parts.a.value;
    if (isTable) made.push(a);
    const magnitude = isTable ? undefined : parts.magnitude?.value;
    const kind = isTable ? "embedding" : "linear";
    layers.set(HF_NAMES.toFile(path), {
      kind,
      a,
      b: parts.b.value,
      magnitude,
      alpha: lora.settingsOf(path).alpha,
    });
  }
  const file: AdapterFile = { format, path: folder, layers, dropout, rankStabilized, dora, base };
  try {
    await newFolder(folder, { replace }, (place) => writeAdapter(place, file, model));
  } finally {
    for (const tensor of made) tensor.dispose();
  }
}

/** Writes the files of an adapter of a model. */
function writeAdapter(folder: string, file: AdapterFile, model: OpenELM): Promise<void> {
  if (file.format === "mlx") return writeMlxAdapter(folder, file, model.config.layers);
  const all = Array.from(model.namedModules(), ([path]) => HF_NAMES.toFile(path));
  return writePeft(folder, file, all);
}

/** Options of {@link loadAdapter}. */
export interface LoadAdapterOptions {
  /** Casts the adapter. Default: as it is in the file. */
  readonly dtype?: DType | undefined;
}

/**
 * Puts an adapter of PEFT's or mlx-lm's files into a model, quantized or not.
 *
 * @returns The adapter, to train on, to merge or to remove.
 * @throws FileError if a file is missing; FormatError naming the layers that the model does not have, or has in another
 * shape; nothing is changed then.
 * @example
 * ```ts no-run
 * const model = await OpenELM.load("OpenELM-270M");
 * const lora = await loadAdapter(model, "adapter");
 * lora.merge();
 * ```
 */
export async function loadAdapter(
  model: OpenELM,
  folder: string,
  options: LoadAdapterOptions = {},
): Promise<LoRA> {
  const file = await readAdapter(folder, options);
  try {
    return attach(model, file);
  } finally {
    disposeAdapter(file);
  }
}

function attach(model: OpenELM, file: AdapterFile): LoRA {
  const paths = new Map<string, AdapterLayer>();
  const named = new Map<string, string>();
  for (const [path] of model.namedModules()) {
    for (const names of [CORENET_NAMES, HF_NAMES]) named.set(names.toFile(path), path);
  }
  for (const [name, layer] of file.layers) {
    const path = named.get(name);
    if (path === undefined)
      throw new FormatError(`${file.path}: the model has no layer ${name}`, { path: file.path });
    paths.set(path, layer);
  }
  const settings = new Map(Array.from(paths, ([path, { a, alpha }]) => [path, { rank: a.shape[0]!, alpha }]));
  const { dropout, rankStabilized, dora } = file;
  const lora = new LoRA({
    targets: (path) => settings.has(path),
    layer: (path) => settings.get(path),
    ...{ dropout, rankStabilized, dora },
  });
  model.apply(lora);
  try {
    take(lora, paths, file);
  } catch (error) {
    lora.remove();
    throw error;
  }
  return lora;
}

function take(lora: LoRA, paths: ReadonlyMap<string, AdapterLayer>, { path: where }: AdapterFile): void {
  const problems: string[] = [];
  for (const [path, { kind }] of paths) {
    const parts = lora.layers.get(path)?.lora;
    if (parts === undefined || (kind === "embedding") !== parts instanceof LowRankRows)
      problems.push(`${path} is no ${kind === "linear" ? "linear layer" : "embedding"}`);
  }
  for (const [path, { lora: parts }] of lora.layers) {
    const { a, b, magnitude } = paths.get(path)!;
    const isTable = parts instanceof LowRankRows;
    const wanted: [Parameter, Tensor][] = [
      [parts.a, isTable ? transpose(a) : a],
      [parts.b, b],
    ];
    if (!isTable && magnitude !== undefined) wanted.push([parts.magnitude!, magnitude]);
    for (const [parameter, tensor] of wanted) {
      if (parameter.shape.join() !== tensor.shape.join())
        problems.push(`${path} wants [${parameter.shape.join(", ")}], got [${tensor.shape.join(", ")}]`);
      // A copy, as the file's tensors go.
      else parameter.value = scope(() => tensor.to({ device: parameter.device }).copy());
    }
  }
  if (problems.length === 0) return;
  throw new FormatError(`${where} does not fit the model:\n  ${problems.slice(0, 8).join("\n  ")}`, {
    path: where,
  });
}
