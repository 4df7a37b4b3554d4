import { type QuantizationOptions, UsageError } from "@openelm/tensor";
import { Embedding } from "./layers/embedding.js";
import { Linear } from "./layers/linear.js";
import { QuantizedEmbedding } from "./layers/quantized-embedding.js";
import { QuantizedLinear } from "./layers/quantized-linear.js";
import type { Module } from "./module.js";
import { placesIn } from "./places.js";

/** Options of {@link quantize}. */
export interface QuantizeOptions extends QuantizationOptions {
  /** Whether the layer at `path` is quantized. Default: all are. */
  readonly filter?: ((path: string, layer: Linear | Embedding) => boolean) | undefined;
  /** Whether the codes will be loaded, so that none are computed now. Default `false`. */
  readonly pending?: boolean | undefined;
}

/**
 * Replaces the linear layers and embeddings inside a model by quantized ones, in place; one that stands in several
 * places stays one, and an embedding that serves as the output layer too serves as both in codes.
 *
 * @returns How many layers were replaced.
 * @throws UsageError naming the layers whose rows are not whole groups; nothing is changed then.
 * @example
 * ```ts
 * quantize(model, { bits: 4, group: 32, filter: (path) => path !== "classifier" });
 * ```
 */
export function quantize(
  model: Module,
  { filter, pending = false, ...options }: QuantizeOptions = {},
): number {
  const places = placesIn<Linear | Embedding>(model, [Linear, Embedding]).filter(
    ({ path, layer }) => filter?.(path, layer) ?? true,
  );
  const group = options.group ?? 64;
  const unfit = places.filter(({ layer }) => layer.weight.shape[1]! % group !== 0);
  if (unfit.length > 0) {
    const named = unfit.map(({ path, layer }) => `${path} (${layer.weight.shape[1]})`).join(", ");
    throw new UsageError(
      `quantize: rows of these layers are not whole groups of ${group}: ${named}; exclude them with filter`,
    );
  }
  const done = new Map<Linear | Embedding, Module>();
  for (const { layer, put } of places) {
    const made = done.get(layer) ?? (pending ? withoutCodes(layer, options) : rounded(layer, options));
    done.set(layer, made);
    put(made);
  }
  return done.size;
}

const rounded = (layer: Linear | Embedding, options: QuantizationOptions): Module =>
  layer instanceof Linear ? QuantizedLinear.from(layer, options) : QuantizedEmbedding.from(layer, options);

/** A layer of the same shape whose codes are 0 until they are loaded. */
function withoutCodes(layer: Linear | Embedding, options: QuantizationOptions): Module {
  const [rows, dim] = layer.weight.shape as [number, number];
  if (layer instanceof Linear) {
    return new QuantizedLinear(dim, rows, { ...options, bias: layer.bias !== undefined });
  }
  return new QuantizedEmbedding(rows, dim, { ...options, paddingIndex: layer.paddingIndex });
}
