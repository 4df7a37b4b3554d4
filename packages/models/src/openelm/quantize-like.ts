import { type Module, quantize } from "@openelm/nn";
import { readSafetensorsHeader } from "@openelm/tensor";
import { HF_NAMES } from "./checkpoint-names.js";
import { type AffineGroups, type Quantization, quantizationOf } from "./quantization.js";

/** Makes the layers quantized that are so in the files: those with scales, each with its own setting. */
export function quantizeLike(model: Module, quantization: Quantization, files: readonly string[]): void {
  const names = new Set(files.flatMap((file) => readSafetensorsHeader(file).tensors.map(({ name }) => name)));
  const settings = new Map<string, AffineGroups>();
  for (const path of model.namedModules()) {
    const name = HF_NAMES.toFile(path[0]);
    const setting = quantizationOf(quantization, name);
    if (setting !== undefined && names.has(`${name}.scales`)) settings.set(path[0], setting);
  }
  const kinds = new Map(
    Array.from(settings.values(), ({ bits, group }) => [`${bits} ${group}`, { bits, group }]),
  );
  for (const { bits, group } of kinds.values()) {
    const isOfKind = (path: string): boolean => {
      const setting = settings.get(path);
      return setting?.bits === bits && setting.group === group;
    };
    quantize(model, { bits, group, pending: true, filter: isOfKind });
  }
}
