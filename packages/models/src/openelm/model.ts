// Shape suffixes: B batch, T time, D model width, V vocabulary.

import {
  Attention,
  type AttentionContext,
  type CrossEntropyLossOptions,
  Embedding,
  FeedForward,
  init,
  KVCache,
  Linear,
  type LossParts,
  linearCrossEntropyLoss,
  Module,
  QuantizedEmbedding,
  RMSNorm,
} from "@openelm/nn";
import {
  type DeviceLike,
  type DType,
  defaults,
  maximum,
  ne,
  OpError,
  type Operand,
  scope,
  type Tensor,
} from "@openelm/tensor";
import { modelPlace } from "../hub/model-place.js";
import { HF_NAMES } from "./checkpoint-names.js";
import { type OpenELMConfig, type OpenELMOptions, type OpenELMSize, openelmConfig } from "./config.js";
import { readModelFolder } from "./files.js";
import type { LayerShape } from "./layerwise-scaling.js";
import { quantizeLike } from "./quantize-like.js";

/** A pre-norm transformer layer: attention and feed-forward, each added to the stream. */
export class OpenELMLayer extends Module {
  readonly attnNorm: RMSNorm;
  readonly attn: Attention;
  readonly ffnNorm: RMSNorm;
  readonly ffn: FeedForward;

  constructor(config: OpenELMConfig, shape: LayerShape) {
    super();
    const { modelDim: dim, eps } = config;
    // What is added to the stream 2·layers times starts small, so that its variance does not grow with depth.
    const outInit = init.normal({ std: dim ** -0.5 * (2 * config.layers) ** -0.5 });
    this.attnNorm = new RMSNorm(dim, { eps });
    this.attn = new Attention({
      ...shape,
      dim,
      eps,
      headDim: config.headDim,
      qkNorm: config.qkNorm,
      ropeBase: config.ropeBase,
      outInit,
    });
    this.ffnNorm = new RMSNorm(dim, { eps });
    this.ffn = new FeedForward(dim, shape.feedForwardDim, {
      activation: config.activation,
      glu: config.glu,
      outInit,
    });
  }

  /** What comes in and goes out is `[batch, time, modelDim]`. */
  forward(xBTD: Tensor, context: AttentionContext = {}): Tensor {
    const { xBTD: hBTD, branchBTD } = this.forwardStream({ xBTD }, context);
    return hBTD.add(branchBTD);
  }

  /** The same, with the feed-forward's result left for the next layer to add. */
  forwardStream(stream: ResidualStream, context: AttentionContext = {}): Required<ResidualStream> {
    const attended = step(stream, this.attnNorm, (yBTD) => this.attn.forward(yBTD, context));
    return step(attended, this.ffnNorm, (yBTD) => this.ffn.forward(yBTD));
  }
}

/** A residual stream with what is yet to be added to it, which the next norm does in its own pass over memory. */
export interface ResidualStream {
  readonly xBTD: Tensor;
  /** What the last attention or feed-forward gave; absent at the start. */
  readonly branchBTD?: Tensor;
}

/** Norms the stream for `block`, whose result is the new branch. Frees what is in between; a tape keeps what it needs. */
const step = (
  stream: ResidualStream,
  norm: RMSNorm,
  block: (yBTD: Tensor) => Tensor,
): Required<ResidualStream> =>
  scope(() => {
    const { sum, y } = normed(stream, norm);
    return { xBTD: sum, branchBTD: block(y) };
  });

/** The stream with nothing left to add, and that normed. */
const normed = ({ xBTD, branchBTD }: ResidualStream, norm: RMSNorm): { sum: Tensor; y: Tensor } =>
  branchBTD === undefined ? { sum: xBTD, y: norm.forward(xBTD) } : norm.addForward(xBTD, branchBTD);

function free({ xBTD, branchBTD }: ResidualStream): void {
  xBTD.dispose();
  branchBTD?.dispose();
}

/** Options of {@link OpenELM.load}. */
export interface LoadModelOptions {
  /** Casts the weights. Default: as they are in the file. */
  readonly dtype?: DType | undefined;
  /** Default: that of `withDefaults`, else the CPU. */
  readonly device?: DeviceLike | undefined;
  /** Maps the file instead of reading it, for inference: the file must not change meanwhile. Default `false`. */
  readonly mmap?: boolean | undefined;
}

/** What one pass brings beside its tokens. */
export interface OpenELMContext {
  /** Earlier positions; the new ones are added. */
  readonly cache?: KVCache | undefined;
  /** Number of the document of each position, `[batch, time]` i32: positions see only their own. Not with a cache. */
  readonly documents?: Tensor | undefined;
  /**
   * Whether only the last position's logits are wanted, `[batch, 1, vocabulary]`, or those of one position in each row,
   * `[batch]` i32. Default `false`.
   */
  readonly last?: boolean | Tensor | undefined;
}

/** Tokens and what should follow each of them. */
export interface LossBatch {
  /** `[batch, time]` i32. */
  readonly inputs: Tensor;
  /** `[batch, time]` i32; where nothing is asked the model's padding token, or −100 if it has none. */
  readonly targets: Tensor;
  /** As in {@link OpenELMContext}. */
  readonly documents?: Tensor | undefined;
  /** What the losses are divided by. Default: the number of targets that are not ignored. */
  readonly tokens?: Operand | undefined;
}

/** The target that asks for nothing, where the model has no padding token. */
const IGNORED = -100;

/**
 * OpenELM: a decoder-only language model whose layers grow in width from first to last.
 *
 * Shapes: ids `[batch, time]` (i32) to logits `[batch, time, vocabulary]`.
 *
 * @example
 * ```ts
 * const model = new OpenELM("OpenELM-270M");
 * model.parameterCount(); // 271527168, without allocating any
 * ```
 * @see Mehta et al., 2024, "OpenELM: An Efficient Language Model Family with Open Training and Inference Framework", arXiv:2404.14619
 */
export class OpenELM extends Module {
  readonly tokenEmbeddings: Embedding;
  readonly layers: readonly OpenELMLayer[];
  readonly norm: RMSNorm;
  /** The output layer, where it is not the embedding. */
  readonly classifier: Linear | undefined;
  /** A recorded pass may be replayed: what depends on earlier positions is in the cache, on the device. */
  readonly replayable = true;
  readonly #config: OpenELMConfig;

  /** @throws ConfigError naming the option that cannot be, or the sizes that exist. */
  constructor(size: OpenELMSize | OpenELMOptions) {
    super();
    const config = openelmConfig(size);
    this.#config = config;
    this.tokenEmbeddings = new Embedding(config.vocabSize, config.modelDim, {
      paddingIndex: config.paddingIndex,
    });
    this.layers = config.layerShapes.map((shape) => new OpenELMLayer(config, shape));
    this.norm = new RMSNorm(config.modelDim, { eps: config.eps });
    this.classifier = config.tied ? undefined : new Linear(config.modelDim, config.vocabSize);
  }

  /**
   * Loads a model from a folder with `config.json` and `model.safetensors` or its parts, as the Hugging Face port and
   * mlx-lm have them, quantized or not. Weights are not initialized first.
   *
   * @param name - A folder, or a model of the Hugging Face hub such as `apple/OpenELM-270M`, as {@link fetchModel} takes it.
   *
   * @throws FileError if a file is missing, FormatError if one does not hold what it should.
   */
  static async load(name: string, options: LoadModelOptions = {}): Promise<OpenELM> {
    const folder = await modelPlace(name);
    const { config, quantization, weights } = await readModelFolder(folder);
    const model = new OpenELM(config);
    if (quantization !== undefined) quantizeLike(model, quantization, weights);
    const device = options.device ?? defaults().device;
    return model.load(weights, { ...options, device, names: HF_NAMES });
  }

  /** What it was made of, with nothing left open. */
  get config(): OpenELMConfig {
    return this.#config;
  }

  /**
   * Logits for the token after each position.
   *
   * @throws OpError `SHAPE_MISMATCH` if ids are not `[batch, time]`, `INVALID_ARGUMENT` if they do not fit the cache.
   */
  forward(idsBT: Tensor, context: OpenELMContext = {}): Tensor {
    const hBTD = this.hidden(idsBT, context);
    return this.logits(positionsOf(hBTD, context.last));
  }

  /** What the last layer gives, normed, `[batch, time, modelDim]`. */
  hidden(idsBT: Tensor, { cache, documents }: OpenELMContext = {}): Tensor {
    const [batch, time] = idsBT.shape;
    if (idsBT.rank !== 2 || batch === undefined || time === undefined) {
      const got = `[${idsBT.shape.join(", ")}]`;
      throw new OpError("SHAPE_MISMATCH", "OpenELM", `ids must be [batch, time], got ${got}`);
    }
    if (cache !== undefined) this.#checkCache(cache, batch);
    const caches = cache?.layersFor(time);
    let stream: ResidualStream = { xBTD: this.#embed(idsBT) };
    for (const [i, layer] of this.layers.entries()) {
      const before = stream;
      stream = scope(() => layer.forwardStream(before, { cache: caches?.[i], documents }));
      free(before);
    }
    cache?.advance(time);
    const last = stream;
    const y = scope(() => normed(last, this.norm).y);
    free(last);
    return y;
  }

  /** Vectors in the dtype that norms have: codes may have scales of another, such as f16 beside f32 in folders from GGUF. */
  #embed(idsBT: Tensor): Tensor {
    const table: Module = this.tokenEmbeddings;
    const xBTD = this.tokenEmbeddings.forward(idsBT);
    const { dtype } = this.norm.weight;
    if (!(table instanceof QuantizedEmbedding) || xBTD.dtype === dtype) return xBTD;
    const wanted = xBTD.to(dtype);
    xBTD.dispose();
    return wanted;
  }

  #checkCache({ layerCount, batch: rows }: KVCache, batch: number): void {
    const fits = layerCount === this.layers.length && rows === batch;
    if (fits) return;
    throw new OpError(
      "INVALID_ARGUMENT",
      "OpenELM",
      `the cache is for ${layerCount} layers and a batch of ${rows}, but the model has ${this.layers.length} layers ` +
        `and the batch is ${batch}; make one with model.newCache({ batch: ${batch} })`,
    );
  }

  /** Scores of every token of the vocabulary. */
  logits(hBTD: Tensor): Tensor {
    return this.classifier?.forward(hBTD) ?? this.tokenEmbeddings.attend(hBTD);
  }

  /** Cross-entropy (and z-loss) per counted token, without holding all logits. */
  loss({ inputs, targets, documents, tokens }: LossBatch, options: CrossEntropyLossOptions = {}): LossParts {
    const hidden = this.hidden(inputs, { documents });
    const { features, weight } = (this.classifier ?? this.tokenEmbeddings).product(hidden);
    const flat = features.reshape([-1, features.shape.at(-1)!]);
    const ignoreIndex = options.ignoreIndex ?? this.config.paddingIndex ?? IGNORED;
    const count = tokens ?? maximum(ne(targets, ignoreIndex).to("f32").sum(), 1);
    return linearCrossEntropyLoss(flat, weight, targets.reshape([-1]), count, { ...options, ignoreIndex });
  }

  /**
   * An empty cache of this model.
   *
   * @param options - Sequences side by side (1), and most positions (the model's context).
   */
  newCache({
    batch = 1,
    capacity = this.config.maxContextLength,
  }: {
    readonly batch?: number;
    readonly capacity?: number;
  } = {}): KVCache {
    const { headDim, layerShapes } = this.config;
    const { dtype, device } = this.norm.weight;
    return new KVCache({
      layers: layerShapes.map(({ kvHeads }) => ({ kvHeads, headDim })),
      batch,
      capacity,
      dtype,
      device,
    });
  }
}

/** The positions whose logits are wanted. */
function positionsOf(hBTD: Tensor, last: boolean | Tensor | undefined): Tensor {
  if (last === undefined || last === false) return hBTD;
  if (last === true) return hBTD.at(":", "-1:") as Tensor;
  const [batch, , dim] = hBTD.shape as [number, number, number];
  return hBTD.takeAlongAxis(last.reshape([batch, 1, 1]).broadcastTo([batch, 1, dim]), { axis: 1 });
}
