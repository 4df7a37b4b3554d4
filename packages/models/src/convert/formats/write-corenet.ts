import { UsageError } from "@openelm/native";
import { NewFile } from "../files/new-file.js";
import { pickleState } from "../pickle/pickle-state.js";
import type { ModelSource } from "../source.js";
import { byteLength, type FloatName, type Weight } from "../weight.js";
import { eachPart, type Watch } from "../write-weight.js";
import { ZipWriter } from "../zip/zip-writer.js";
import { STORAGES } from "./corenet.js";

/** Writes the state dictionary of a source with plain weights, as `torch.load(weights_only=True)` reads it. */
export async function writeCoreNet(source: ModelSource, path: string, watch: Watch): Promise<void> {
  const weights = [...source.weights.values()];
  const pickled = weights.map((weight, i) => ({
    name: weight.name,
    storage: storageName(weight),
    key: String(i),
    shape: weight.shape,
  }));
  await NewFile.write(path, async (file) => {
    const zip = new ZipWriter(file);
    await zip.addBytes("archive/data.pkl", pickleState(pickled));
    await zip.addBytes("archive/byteorder", Buffer.from("little"));
    for (const [i, weight] of weights.entries()) {
      await zip.add(`archive/data/${i}`, byteLength(weight), (put) =>
        eachPart(weight, watch, ({ data }) => put(data)),
      );
    }
    await zip.addBytes("archive/version", Buffer.from("3\n"));
    await zip.end();
  });
}

function storageName({ name, encoding }: Weight): string {
  if (encoding.kind !== "plain")
    throw new UsageError(`${name} is in codes, which CoreNet's checkpoints cannot hold`);
  const find = (dtype: FloatName): string => Object.keys(STORAGES).find((key) => STORAGES[key] === dtype)!;
  return find(encoding.dtype);
}
