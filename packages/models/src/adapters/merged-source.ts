//! A model in files with an adapter merged into its weights, some rows at a time.
import { FormatError, UsageError } from "@openelm/native";
import { linear } from "@openelm/nn";
import { norm, Scope, type Tensor, tensor, transpose } from "@openelm/tensor";
import { fromHFName } from "../convert/formats/folder.js";
import { plainDtype, recode } from "../convert/recode.js";
import type { ModelSource } from "../convert/source.js";
import { plain, rowLength, type Weight } from "../convert/weight.js";
import { type AdapterFile, type AdapterLayer, scalingOf } from "./adapter-file.js";

/**
 * The source with `W + s · B A` in place of each adapted weight, in f32 and rounded once; codes become numbers.
 *
 * @throws FormatError if the adapter is for another model; UsageError if it changes an embedding that is the output layer
 * too, where it must do nothing.
 */
export function mergedSource(source: ModelSource, file: AdapterFile): ModelSource {
  const weights = new Map(source.weights);
  for (const [layerName, layer] of file.layers) {
    const name = `${fromHFName(layerName)}.weight`;
    const weight = weights.get(name);
    if (weight === undefined || weight.shape.length !== 2)
      throw new FormatError(`${file.path}: the model has no layer ${layerName}`, { path: file.path });
    if (layer.kind === "embedding" && source.config.tied) {
      throw new UsageError(
        `${file.path} changes look-ups of ${layerName}, which is the output layer too; it cannot be merged`,
      );
    }
    const [rows, dim] = layer.kind === "linear" ? [layer.b, layer.a] : [layer.a, layer.b];
    const wanted = layer.kind === "linear" ? [rows.shape[0], dim.shape[1]] : [rows.shape[1], dim.shape[0]];
    if (wanted.join() !== weight.shape.join()) {
      throw new FormatError(
        `${file.path}: ${layerName} is for weights [${wanted.join(", ")}], the model has [${weight.shape.join(", ")}]`,
        { path: file.path },
      );
    }
    weights.set(name, merged(weight, layer, scalingOf(file, layer)));
  }
  return { ...source, weights };
}

function merged(weight: Weight, { kind, a, b, magnitude }: AdapterLayer, scaling: number): Weight {
  const dim = rowLength(weight);
  const numbers = recode(weight, plain("f32"));
  const sum: Weight = {
    name: weight.name,
    shape: weight.shape,
    encoding: plain("f32"),
    async rows(start, end) {
      const { data } = await numbers.rows(start, end);
      using scope = new Scope();
      const bytes = scope.run(() => {
        const floats = new Float32Array(data.slice().buffer as ArrayBuffer);
        const w = tensor(floats, { shape: [end - start, dim], device: "cpu" });
        const part = (t: Tensor, axis: 0 | 1): Tensor =>
          (axis === 0 ? t.at(`${start}:${end}`) : t.at(":", `${start}:${end}`)) as Tensor;
        const added =
          kind === "linear"
            ? part(b, 0).to("f32").matmul(a.to("f32"))
            : linear(transpose(part(a, 1)).to("f32"), b.to("f32"));
        const both = w.add(added.mul(scaling));
        if (magnitude === undefined) return both;
        const scale = part(magnitude, 0)
          .to("f32")
          .div(norm(both, { axis: -1 }));
        return both.mul(scale.reshape([-1, 1]));
      });
      return { data: await bytes.bytes() };
    },
  };
  return recode(sum, plain(plainDtype(weight.encoding)));
}
