import { type DType, intercept, scope, type Tensor, UsageError } from "@openelm/tensor";
import { Embedding } from "../layers/embedding.js";
import { Linear } from "../layers/linear.js";
import { QuantizedEmbedding } from "../layers/quantized-embedding.js";
import { QuantizedLinear } from "../layers/quantized-linear.js";
import type { Adapter, Module } from "../module.js";
import type { Parameter } from "../parameter.js";
import { type Place, placesIn } from "../places.js";
import { LoRAEmbedding, LoRAQuantizedEmbedding } from "./lora-embedding.js";
import { LoRALinear, LoRAQuantizedLinear } from "./lora-linear.js";
import { LowRank, LowRankRows, rowNorms } from "./low-rank.js";

/** What may differ from layer to layer. */
export interface LoRASettings {
  /** How many directions are added. Default 8. */
  readonly rank?: number | undefined;
  /** What is added is multiplied by `alpha / rank`. Default: the rank, so by 1. */
  readonly alpha?: number | undefined;
}

/** Options of {@link LoRA}. */
export interface LoRAOptions extends LoRASettings {
  /** Which layers get an adapter, by their paths. Default: all linear layers, no embedding. */
  readonly targets?: RegExp | ((path: string) => boolean) | undefined;
  /** Share of the adapter's inputs that are dropped while training; not for embeddings. Default 0. */
  readonly dropout?: number | undefined;
  /** Multiplies by `alpha / √rank` instead, so that larger ranks learn as fast (rsLoRA). Default `false`. */
  readonly rankStabilized?: boolean | undefined;
  /** Trains the norms of the weights' rows too, apart from their directions (DoRA); not for embeddings. Default `false`. */
  readonly dora?: boolean | undefined;
  /** Other settings for single layers. */
  readonly layer?: ((path: string) => LoRASettings | undefined) | undefined;
  /** Dtype of the adapter. Default f32, whatever that of the model is. */
  readonly dtype?: DType | undefined;
}

/** A layer with an adapter. */
export type LoRALayer = LoRALinear | LoRAQuantizedLinear | LoRAEmbedding | LoRAQuantizedEmbedding;

type BaseLayer = Linear | QuantizedLinear | Embedding | QuantizedEmbedding;

/** Where a layer with an adapter stands. */
interface Adapted {
  readonly places: readonly Place<BaseLayer>[];
  readonly base: BaseLayer;
  readonly layer: LoRALayer;
}

/**
 * Low-rank adaptation: the model stays as it is, and layers get `y = W x + (alpha / rank) · B A x` with small trained `A`
 * and `B`. At first `B` is 0 and nothing changes. Weights may be quantized.
 *
 * Everything else is frozen while the adapter is in the model.
 *
 * @example
 * ```ts
 * const lora = new LoRA({ rank: 4, alpha: 8, targets: /attn/ });
 * model.apply(lora);
 * model.parameters().filter((parameter) => parameter.trainable).length === 2 * lora.layers.size; // true
 * lora.merge(); // weights that do the same, without the adapter
 * ```
 * @see Hu et al., 2021, "LoRA", arXiv:2106.09685; Kalajdzievski, 2023, "rsLoRA", arXiv:2312.03732; Liu et al., 2024,
 * "DoRA", arXiv:2402.09353; Dettmers et al., 2023, "QLoRA", arXiv:2305.14314, for quantized weights
 */
export class LoRA implements Adapter {
  readonly options: LoRAOptions;
  readonly #adapted = new Map<string, Adapted>();
  /** What was trained before. */
  #trained: Parameter[] = [];
  #merged = false;

  /** @throws UsageError if rank, alpha or dropout cannot be. */
  constructor(options: LoRAOptions = {}) {
    const { dropout = 0 } = options;
    checkSettings(options);
    if (!(dropout >= 0 && dropout < 1))
      throw new UsageError(`LoRA: dropout must be in [0, 1), got ${dropout}`);
    this.options = options;
  }

  /** The layers with an adapter by their paths; one in several places by its first. */
  get layers(): ReadonlyMap<string, LoRALayer> {
    return new Map(Array.from(this.#adapted, ([path, { layer }]) => [path, layer]));
  }

  /** The adapter's own parameters by their paths in the model. */
  *namedParameters(): Iterable<readonly [path: string, parameter: Parameter]> {
    for (const [path, { layer }] of this.#adapted) {
      for (const [name, parameter] of layer.lora.namedParameters()) yield [`${path}.lora.${name}`, parameter];
    }
  }

  /** How many numbers the adapter has. */
  parameterCount(): number {
    return Array.from(this.namedParameters()).reduce((sum, [, { size }]) => sum + size, 0);
  }

  /** What the adapter of a layer adds is multiplied by it. */
  scalingOf(path: string): number {
    const { rank, alpha } = this.settingsOf(path);
    return alpha / (this.options.rankStabilized ? Math.sqrt(rank) : rank);
  }

  /** Rank and alpha of the layer at `path`. */
  settingsOf(path: string): { readonly rank: number; readonly alpha: number } {
    const own = this.options.layer?.(path) ?? {};
    checkSettings(own);
    const rank = own.rank ?? this.options.rank ?? 8;
    return { rank, alpha: own.alpha ?? this.options.alpha ?? rank };
  }

  /**
   * Puts adapters beside the wanted layers and freezes everything else; `model.apply(lora)` calls it.
   *
   * @throws UsageError if the adapter is in a model already, no layer is wanted, or an embedding is to have magnitudes.
   */
  attach(model: Module): void {
    if (this.#adapted.size > 0)
      throw new UsageError("LoRA: the adapter is in a model already; make another one, or remove it there");
    const found = this.#wanted(model);
    this.#trained = model.parameters().filter((parameter) => parameter.trainable);
    const made = new Map(found.map(([path, places]) => [path, this.#adapt(path, places)]));
    model.freeze();
    for (const [path, adapted] of made) {
      const { layer } = adapted;
      if (!model.training) layer.eval();
      this.#adapted.set(path, adapted);
      for (const { put } of adapted.places) put(layer);
    }
    // Paths are told now that all is in place: initial values depend on them.
    model._nameParameters();
  }

  #wanted(model: Module): [path: string, places: Place<BaseLayer>[]][] {
    const { targets, dora = false } = this.options;
    const isWanted = ({ path, layer }: Place<BaseLayer>): boolean => {
      if (typeof targets === "function") return targets(path);
      if (targets !== undefined) return path.search(targets) >= 0;
      return layer instanceof Linear || layer instanceof QuantizedLinear;
    };
    const all = placesIn<BaseLayer>(model, [Linear, QuantizedLinear, Embedding, QuantizedEmbedding]);
    const chosen = new Map<BaseLayer, Place<BaseLayer>[]>();
    for (const place of all.filter(isWanted)) chosen.set(place.layer, []);
    // A layer that stands in several places is one: all get the adapter.
    for (const place of all) chosen.get(place.layer)?.push(place);
    if (chosen.size === 0) {
      const known = all.map(({ path }) => path).join(", ");
      throw new UsageError(`LoRA: targets match no layer; there are: ${known || "none"}`);
    }
    const table = [...chosen].find(([layer]) => isTable(layer));
    if (dora && table !== undefined) {
      throw new UsageError(`LoRA: dora is for linear layers; leave ${table[1][0]!.path} out of targets`);
    }
    return Array.from(chosen.values(), (places) => [places[0]!.path, places]);
  }

  #adapt(path: string, places: readonly Place<BaseLayer>[]): Adapted {
    const base = places[0]!.layer;
    const { rank } = this.settingsOf(path);
    const { dtype = "f32", dropout = 0, dora = false } = this.options;
    const how = { rank, scaling: this.scalingOf(path), dtype, device: base.weight.device };
    if (base instanceof Embedding || base instanceof QuantizedEmbedding) {
      const [count, dim] = tableShape(base);
      const rows = new LowRankRows(count, dim, { ...how, paddingIndex: base.paddingIndex });
      const layer =
        base instanceof Embedding ? new LoRAEmbedding(base, rows) : new LoRAQuantizedEmbedding(base, rows);
      return { places, base, layer };
    }
    const [outputs, inputs] = tableShape(base);
    const magnitude = dora ? (): Tensor => rowNorms(numbersOf(base)) : undefined;
    const lora = new LowRank(inputs, outputs, { ...how, dropout, magnitude });
    const layer = base instanceof Linear ? new LoRALinear(base, lora) : new LoRAQuantizedLinear(base, lora);
    return { places, base, layer };
  }

  /**
   * Puts plain layers in the places of those with an adapter that do the same, up to rounding; quantized ones are in full
   * precision then. What was there is kept for {@link unmerge}, as long as this object lives.
   *
   * @throws UsageError if an embedding is among them, unless `embeddings` says that it is only looked up: as an output
   * layer, its adapter does nothing.
   */
  merge({ embeddings = false }: { readonly embeddings?: boolean } = {}): void {
    this.#requireAttached("merge");
    if (this.#merged) throw new UsageError("LoRA.merge: the adapter is merged already");
    const table = [...this.#adapted].find(([, { base }]) => isTable(base));
    if (table !== undefined && !embeddings) {
      throw new UsageError(
        `LoRA.merge: ${table[0]} is an embedding, whose adapter changes look-ups alone; ` +
          "if it is no output layer, pass { embeddings: true }",
      );
    }
    for (const { layer, places } of this.#adapted.values()) {
      const merged = intercept(null, () => scope(() => layer.merged()));
      if (!layer.training) merged.eval();
      for (const parameter of merged.parameters()) parameter.trainable = false;
      for (const { put } of places) put(merged);
    }
    this.#merged = true;
  }

  /** Puts the layers with an adapter back, bit for bit. */
  unmerge(): void {
    this.#requireAttached("unmerge");
    if (!this.#merged) throw new UsageError("LoRA.unmerge: the adapter is not merged");
    for (const { layer, places } of this.#adapted.values()) for (const { put } of places) put(layer);
    this.#merged = false;
  }

  /** Puts back the layers that were there before the adapter, and trains what was trained before. */
  remove(): void {
    this.#requireAttached("remove");
    for (const { base, places } of this.#adapted.values()) for (const { put } of places) put(base);
    for (const parameter of this.#trained) parameter.trainable = true;
    this.#adapted.clear();
    this.#merged = false;
  }

  #requireAttached(method: string): void {
    if (this.#adapted.size === 0)
      throw new UsageError(`LoRA.${method}: the adapter is in no model; model.apply(lora) puts it there`);
  }
}

const isTable = (layer: BaseLayer): layer is Embedding | QuantizedEmbedding =>
  layer instanceof Embedding || layer instanceof QuantizedEmbedding;

/** Shape of the weights, which codes have another of. */
function tableShape(layer: BaseLayer): readonly [number, number] {
  const [rows, columns] = layer.weight.shape as [number, number];
  return layer instanceof QuantizedLinear || layer instanceof QuantizedEmbedding
    ? [rows, (columns * 32) / layer.bits]
    : [rows, columns];
}

const numbersOf = (layer: Linear | QuantizedLinear): Tensor =>
  layer instanceof Linear ? layer.weight.value : layer.matrix.dequantize();

function checkSettings({ rank, alpha }: LoRASettings): void {
  if (rank !== undefined && (!Number.isInteger(rank) || rank < 1))
    throw new UsageError(`LoRA: rank must be a whole number of 1 or more, got ${rank}`);
  if (alpha !== undefined && !(alpha > 0 && Number.isFinite(alpha)))
    throw new UsageError(`LoRA: alpha must be a number above 0, got ${alpha}`);
}
