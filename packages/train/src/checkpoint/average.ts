import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, UsageError } from "@openelm/native";
import { loadSafetensors, type Safetensors, saveSafetensors, scope, type Tensor } from "@openelm/tensor";
import { namesIn, writeFolderDurably } from "./durable.js";
import { WEIGHTS } from "./model-files.js";

/** Files of a checkpoint that belong to training and not to the model. */
const TRAINING = new Set(["state.json", "optimizer.safetensors", WEIGHTS]);

/**
 * Writes the model whose weights are the plain average of those in `folders`.
 *
 * Sums are in f64, in the order of `folders`; results have the dtype of the weights. Other files of the model are those of
 * the last folder. `into` appears when it is complete.
 *
 * @throws FormatError if the folders hold different tensors; FileError if one cannot be read or written.
 * @example
 * ```ts no-run
 * await averageCheckpoints((await store.list()).slice(-5), "runs/a/average");
 * ```
 */
export async function averageCheckpoints(folders: readonly string[], into: string): Promise<void> {
  if (folders.length === 0) throw new UsageError("averageCheckpoints: give at least one checkpoint");
  const loaded: Safetensors[] = [];
  try {
    for (const folder of folders) loaded.push(await loadSafetensors(join(folder, WEIGHTS)));
    for (const other of loaded.slice(1)) checkAlike(loaded[0]!, other);
    const averages = scope(
      () =>
        new Map(
          Array.from(loaded[0]!.keys(), (name) => [
            name,
            average(loaded.map((tensors) => tensors.get(name)!)),
          ]),
        ),
    );
    const last = folders.at(-1)!;
    await writeFolderDurably(into, async (folder) => {
      await saveSafetensors(join(folder, WEIGHTS), averages, { metadata: loaded.at(-1)!.metadata });
      for (const name of await namesIn(last))
        if (!TRAINING.has(name)) await copyFile(join(last, name), join(folder, name));
    });
    for (const tensor of averages.values()) tensor.dispose();
  } finally {
    for (const tensors of loaded) tensors.dispose();
  }
}

function average(tensors: readonly Tensor[]): Tensor {
  const { dtype } = tensors[0]!;
  return scope(() => {
    const sum = tensors
      .slice(1)
      .reduce((total, tensor) => total.add(tensor.to("f64")), tensors[0]!.to("f64"));
    return sum.div(tensors.length).to(dtype);
  });
}

function checkAlike(a: Safetensors, b: Safetensors): void {
  const names = (tensors: Safetensors): string =>
    JSON.stringify(
      Array.from(tensors, ([name, { dtype, shape }]) => `${name} ${dtype}[${shape.join(", ")}]`).sort(),
    );
  if (names(a) !== names(b))
    throw new FormatError(`${a.path} and ${b.path} hold different tensors; average checkpoints of one run`);
}
