import { type QuantizationOptions, UsageError } from "@openelm/tensor";
import { Embedding } from "./layers/embedding.js";
import { Linear } from "./layers/linear.js";
import { QuantizedEmbedding } from "./layers/quantized-embedding.js";
import { QuantizedLinear } from "./layers/quantized-linear.js";
import { fields, isCollection, Module } from "./module.js";

/** Options of {@link quantize}. */
export interface QuantizeOptions extends QuantizationOptions {
  /** Whether the layer at `path` is quantized. Default: all are. */
  readonly filter?: ((path: string, layer: Linear | Embedding) => boolean) | undefined;
  /** Whether the codes will be loaded, so that none are computed now. Default `false`. */
  readonly pending?: boolean | undefined;
}

/** Where a layer stands: in a field, an array or a Map. */
interface Place {
  readonly path: string;
  readonly layer: Linear | Embedding;
  put(layer: Module): void;
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
  const places = [...placesIn(model)].filter(({ path, layer }) => filter?.(path, layer) ?? true);
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

function* placesIn(holder: object, prefix = "", seen = new Set<object>([holder])): Iterable<Place> {
  for (const [name, item] of fields(holder)) {
    if (typeof item !== "object" || item === null) continue;
    const path = prefix === "" ? name : `${prefix}.${name}`;
    // A subclass computes something else, which would be lost.
    if (item.constructor === Linear || item.constructor === Embedding) {
      const layer = item as Linear | Embedding;
      yield { path, layer, put: (made) => set(holder, name, made) };
    } else if ((item instanceof Module || isCollection(item)) && !seen.has(item)) {
      seen.add(item);
      yield* placesIn(item, path, seen);
    }
  }
}

function set(holder: object, name: string, layer: Module): void {
  if (holder instanceof Map) {
    // Keys may be other than strings; names are how they read.
    for (const key of holder.keys()) if (String(key) === name) holder.set(key, layer);
  } else (holder as Record<string, Module>)[name] = layer;
}
