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
  RMSNorm,
} from "@openelm/nn";
import { type IndexOperand, type Operand, scope, type Tensor } from "@openelm/tensor";
import { type OpenELMConfig, type OpenELMOptions, type OpenELMSize, openelmConfig } from "./config.js";
import { type LoadModelOptions, loadOpenELM } from "./files.js";
import type { LayerShape } from "./layerwise-scaling.js";

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

  forward(xBTD: Tensor, context: AttentionContext = {}): Tensor {
    const hBTD = xBTD.add(this.attn.forward(this.attnNorm.forward(xBTD), context));
    return hBTD.add(this.ffn.forward(this.ffnNorm.forward(hBTD)));
  }
}

/** What one pass brings beside its tokens. */
export interface OpenELMContext {
  /** Earlier positions; the new ones are added. */
  readonly cache?: KVCache | undefined;
  /** Number of the document of each position, `[batch, time]` i32. */
  readonly documents?: Tensor | undefined;
}

/** Tokens and what should follow each of them. */
export interface LossBatch {
  /** `[batch, time]` i32. */
  readonly inputs: Tensor;
  /** `[batch, time]` i32; `ignoreIndex` where nothing is asked. */
  readonly targets: Tensor;
  readonly documents?: Tensor | undefined;
  /** Targets that count; the losses are divided by it. Default: all. */
  readonly tokens?: Operand | undefined;
}

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
  readonly #config: OpenELMConfig;

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
   * Loads a model from a folder with `config.json` and `model.safetensors`, as the Hugging Face port has them.
   *
   * @throws FileError if a file is missing, FormatError if one does not hold what it should.
   */
  static load(folder: string, options: LoadModelOptions = {}): Promise<OpenELM> {
    return loadOpenELM(folder, options);
  }

  get config(): OpenELMConfig {
    return this.#config;
  }

  /** Logits for the token after each position. */
  forward(idsBT: IndexOperand, context: OpenELMContext = {}): Tensor {
    return this.logits(this.hidden(idsBT, context));
  }

  /** What the last layer gives, normed. */
  hidden(idsBT: IndexOperand, { cache, documents }: OpenELMContext = {}): Tensor {
    let xBTD = this.tokenEmbeddings.forward(idsBT);
    const caches = cache?.layersFor(xBTD.shape[1]!);
    for (const [i, layer] of this.layers.entries()) {
      // What is in between is freed layer by layer; a tape keeps what its gradient needs.
      xBTD = scope(() => layer.forward(xBTD, { cache: caches?.[i], documents }));
    }
    cache?.advance(xBTD.shape[1]!);
    return this.norm.forward(xBTD);
  }

  /** Scores of every token of the vocabulary. */
  logits(hBTD: Tensor): Tensor {
    return this.classifier?.forward(hBTD) ?? this.tokenEmbeddings.attend(hBTD);
  }

  /** Cross-entropy (and z-loss) per counted token, without holding all logits. */
  loss({ inputs, targets, documents, tokens }: LossBatch, options: CrossEntropyLossOptions = {}): LossParts {
    const hidden = this.hidden(inputs, { documents });
    const weight = (this.classifier ?? this.tokenEmbeddings).weight.value;
    const flat = hidden.reshape([-1, this.config.modelDim]);
    const { paddingIndex } = this.config;
    const ignore = paddingIndex === undefined ? {} : { ignoreIndex: paddingIndex };
    return linearCrossEntropyLoss(flat, weight, targets.reshape([-1]), tokens ?? targets.size, {
      ...ignore,
      ...options,
    });
  }

  /** An empty cache for `capacity` positions of this model. */
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
