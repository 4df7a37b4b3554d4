import { Embedding, Linear, Module, QuantizedEmbedding, QuantizedLinear } from "@openelm/nn";
import type { QuantizedTensor, Tensor } from "@openelm/tensor";
import type { OpenELM } from "../openelm/model.js";

/** A layer that can be quantized, and where it stands. */
export interface Place {
  readonly path: string;
  readonly layer: Linear | Embedding;
  /** Puts a layer of these codes in its place. */
  put(codes: QuantizedTensor): void;
  /** Has `see` told of the layer's inputs while `run` runs. */
  watch<T>(see: (x: Tensor) => void, run: () => T): T;
}

/** The layers of a model that can be quantized, in the order of a pass. */
export function placesOf(model: OpenELM): Place[] {
  return [
    placeIn(model, "tokenEmbeddings", ""),
    ...model.layers.flatMap(({ attn, ffn }, i) => [
      placeIn(attn, "qkvProj", `layers.${i}.attn.`),
      placeIn(attn, "outProj", `layers.${i}.attn.`),
      placeIn(ffn, "proj1", `layers.${i}.ffn.`),
      placeIn(ffn, "proj2", `layers.${i}.ffn.`),
    ]),
    placeIn(model, "classifier", ""),
  ].flat();
}

function placeIn<H extends Module>(holder: H, field: keyof H & string, prefix: string): Place[] {
  const layer: unknown = holder[field];
  const isPlain = layer instanceof Linear || layer instanceof Embedding;
  // A subclass computes something else, which would be lost.
  if (!isPlain || (layer.constructor !== Linear && layer.constructor !== Embedding)) return [];
  const set = (made: Module): void => {
    (holder as Record<string, unknown>)[field] = made;
  };
  return [
    {
      path: `${prefix}${field}`,
      layer,
      put: (codes) => set(inCodes(layer, codes)),
      watch(see, run) {
        set(new Watched(layer, see));
        try {
          return run();
        } finally {
          set(layer);
        }
      },
    },
  ];
}

const inCodes = (layer: Linear | Embedding, codes: QuantizedTensor): Module =>
  layer instanceof Linear
    ? QuantizedLinear.of(codes, layer.bias)
    : QuantizedEmbedding.of(codes, { paddingIndex: layer.paddingIndex });

/** A layer that tells of its inputs. */
class Watched extends Module {
  readonly #layer: Linear | Embedding;
  readonly #see: (x: Tensor) => void;

  constructor(layer: Linear | Embedding, see: (x: Tensor) => void) {
    super();
    this.#layer = layer;
    this.#see = see;
  }

  forward(x: Tensor): Tensor {
    this.#see(x);
    return this.#layer.forward(x);
  }
}
