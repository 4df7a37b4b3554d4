//! The one truth about a training configuration: types, checks, defaults, `config.schema.json` and the printed comments.
import * as z from "zod";

const about = <T extends z.ZodType>(schema: T, description: string, unit?: string): T =>
  schema.meta(unit === undefined ? { description } : { description, unit }) as T;

const whole = (least: number): z.ZodNumber => z.number().int().min(least);
const rate = z.number().min(0);
const share = z.number().min(0).max(1);
const path = z.string().min(1);
const multipliers = z.union([z.number().positive(), z.array(z.number().positive()).min(2)]);

const modelOptions = z.strictObject({
  size: about(
    z.string().optional(),
    "A published size to start from; the other options change it. Without it, layers, modelDim and headDim are needed",
  ),
  vocabSize: about(
    whole(1).optional(),
    "Tokens of the vocabulary. Default: those of the tokenizer",
    "tokens",
  ),
  layers: about(whole(1).optional(), "Transformer layers"),
  modelDim: about(whole(1).optional(), "Width of the stream between the layers"),
  headDim: about(whole(2).optional(), "Width of one attention head; even"),
  headsPerKvHead: about(whole(1).optional(), "Query heads that share one key-value head. Default 1"),
  attention: about(
    multipliers.optional(),
    "Attention width as a multiple of modelDim: one number, [first, last], or one a layer. Default 1",
  ),
  feedForward: about(multipliers.optional(), "Feed-forward width likewise. Default 4"),
  feedForwardDivisor: about(whole(1).optional(), "Feed-forward widths are multiples of it. Default 256"),
  glu: about(z.boolean().optional(), "Whether the activated half gates the other one. Default true"),
  activation: about(
    z.enum(["swish", "silu", "gelu", "gelu_tanh", "relu"]).optional(),
    "Activation of the feed-forward part. Default swish",
  ),
  qkNorm: about(z.boolean().optional(), "Whether queries and keys are normed per head. Default true"),
  tied: about(z.boolean().optional(), "Whether the output layer is the embedding. Default true"),
  ropeBase: about(z.number().positive().optional(), "Base of the rotary angles. Default 10000"),
  maxContextLength: about(
    whole(1).optional(),
    "Positions that the model is meant for. Default 2048",
    "tokens",
  ),
  eps: about(z.number().positive().optional(), "Added inside the norms' roots. Default 1e-6"),
  paddingIndex: about(
    whole(0).optional(),
    "A token that is only padding: its look-up gets no gradient, its targets are ignored",
  ),
  bosId: about(whole(0).optional(), "Token that begins a text. Default: that of the tokenizer"),
  eosId: about(whole(0).optional(), "Token that ends a text. Default: that of the tokenizer"),
});

const lora = z.strictObject({
  rank: about(whole(1).default(8), "How many directions a layer gets"),
  alpha: about(
    z.number().positive().optional(),
    "What they add is multiplied by alpha / rank. Default: the rank",
  ),
  dropout: about(z.number().min(0).lt(1).default(0), "Share of the adapter's inputs that are dropped"),
  targets: about(
    path.optional(),
    "A regular expression of the layers' paths, such as attn or proj2. Default: all linear layers",
  ),
  rankStabilized: about(z.boolean().default(false), "Multiplies by alpha / √rank instead (rsLoRA)"),
  dora: about(z.boolean().default(false), "Trains the norms of the weights' rows too (DoRA)"),
});

const adamw = z.strictObject({
  kind: about(z.literal("adamw"), "Adam with decoupled weight decay"),
  lr: about(rate, "Highest learning rate"),
  betas: about(
    z.tuple([share, share]).default([0.9, 0.95]),
    "Decays of the mean of the gradients and of their squares",
  ),
  eps: about(rate.default(1e-8), "Added to the root of the mean square"),
  weightDecay: about(rate.default(0.1), "Share of a matrix, times the learning rate, that a step takes away"),
  clip: about(z.number().positive().default(1), "Norm that all gradients together are clipped to"),
});

const sgd = z.strictObject({
  kind: about(z.literal("sgd"), "Gradient descent"),
  lr: about(rate, "Highest learning rate"),
  momentum: about(rate.default(0), "Share of the velocity that a step keeps"),
  nesterov: about(z.boolean().default(false), "Looks ahead along the new velocity"),
  weightDecay: about(rate.default(0), "Share of a matrix that is added to its gradient"),
  clip: about(z.number().positive().default(1), "Norm that all gradients together are clipped to"),
});

const warmup = about(whole(0).default(0), "Updates over which the learning rate rises", "steps");
const warmupLr = about(rate.default(1e-6), "Learning rate of the first update, where there is a warmup");
const minLr = about(rate.optional(), "Learning rate at the end. Default: a tenth of the highest");
const updates = about(
  whole(1).optional(),
  "Updates until minLr is reached. Default: those of the run",
  "steps",
);

const schedule = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: about(z.literal("cosine"), "Half a cosine down to minLr, rounded to 8 decimals"),
    warmup,
    warmupLr,
    minLr,
    updates,
  }),
  z.strictObject({
    kind: about(z.literal("linear"), "A line down to minLr"),
    warmup,
    warmupLr,
    minLr,
    updates,
  }),
  z.strictObject({
    kind: about(z.literal("wsd"), "Constant for long, then down to minLr over the last updates"),
    warmup,
    warmupLr,
    minLr,
    updates,
    decay: about(whole(0).optional(), "Updates of the way down. Default: a tenth of them", "steps"),
    shape: about(z.enum(["linear", "sqrt"]).default("linear"), "Form of the way down"),
  }),
  z.strictObject({
    kind: about(z.literal("constant"), "The highest learning rate throughout"),
    warmup,
    warmupLr,
  }),
]);

const shards = z.strictObject({
  shards: about(path, "Folder that `openelm data prepare` wrote"),
});

const text = z.strictObject({
  text: about(
    z.union([path, z.array(path).min(1)]),
    "Text, JSONL or Parquet files, folders or globs, which are prepared first",
  ),
  textKey: about(z.string().default("text"), "Field or column with the text, in JSONL and Parquet"),
  validation: about(share.default(0.01), "Share of the documents that is held out for evaluation"),
});

const tokenizer = z.union([
  path,
  z.strictObject({
    vocabSize: about(whole(256), "Trains a byte-level BPE tokenizer of this size on the text", "tokens"),
  }),
]);

export const schema = z.strictObject({
  version: about(z.literal(1), "Version of this format"),
  folder: about(path.optional(), "Where logs and checkpoints go. Default: runs/ and the name of this file"),
  model: about(
    z.union([z.string(), modelOptions]),
    "A published size (OpenELM-270M, OpenELM-450M, OpenELM-1_1B, OpenELM-3B, …), options, or a model's folder to go on from",
  ),
  lora: about(
    lora.optional(),
    "Trains low-rank adapters beside the model's layers, which stay as they are, quantized or not",
  ),
  data: about(z.union([shards, text]), "What is trained on: prepared shards, or text"),
  tokenizer: about(
    tokenizer.optional(),
    "tokenizer.json or tokenizer.model, or how to train one. Default: that of the shards",
  ),
  optim: about(z.discriminatedUnion("kind", [adamw, sgd]), "The optimizer"),
  schedule: about(schedule.prefault({ kind: "cosine" }), "Learning rates"),
  loss: about(
    z
      .strictObject({
        zLoss: about(rate.default(1e-4), "Weight of the squared log-partition function"),
        zLossMode: about(
          z.enum(["valid", "corenet"]).default("valid"),
          "Whether ignored targets add their constant to the reported z-loss",
        ),
        labelSmoothing: about(share.default(0), "Share of the probability that is spread over all tokens"),
      })
      .prefault({}),
    "What is minimized beside the cross-entropy",
  ),
  batch: about(
    z
      .strictObject({
        sequences: about(whole(1).default(16), "Sequences of one micro-batch"),
        sequenceLength: about(whole(1).default(2048), "Length of a sequence", "tokens"),
        accumulate: about(whole(1).default(1), "Micro-batches of one update"),
        documentMask: about(z.boolean().default(true), "Whether attention stays within a document"),
      })
      .prefault({}),
    "What one update sees",
  ),
  steps: about(whole(1).optional(), "The run ends after so many updates", "steps"),
  tokens: about(whole(1).optional(), "or so many tokens", "tokens"),
  minutes: about(z.number().positive().optional(), "or so many minutes of training", "minutes"),
  precision: about(
    z.enum(["f32", "bf16"]).default("f32"),
    "Precision of matrix products and attention; weights are f32 in any case",
  ),
  capture: about(
    z.union([z.boolean(), z.literal("auto")]).default("auto"),
    "Whether updates are recorded and replayed as one command: small ones on a CPU (auto), all, or none",
  ),
  maxSkips: about(
    whole(1).default(10),
    "Updates in a row that may fail to be finite before the run gives up",
  ),
  eval: about(
    z
      .strictObject({
        every: about(whole(1).default(1000), "Updates between two evaluations", "steps"),
        batches: about(whole(1).default(50), "Held-out batches of one evaluation"),
      })
      .prefault({}),
    "Evaluation on held-out data",
  ),
  sample: about(
    z
      .strictObject({
        prompts: about(z.array(z.string()), "What the model is to go on from"),
        every: about(whole(1).default(1000), "Updates between two looks", "steps"),
        maxTokens: about(whole(1).default(48), "Length of an answer", "tokens"),
      })
      .optional(),
    "Text that the model writes meanwhile",
  ),
  checkpoint: about(
    z
      .strictObject({
        every: about(whole(1).default(1000), "Updates between two checkpoints", "steps"),
        keepLast: about(whole(1).default(2), "How many of the last stay"),
        keepBest: about(whole(0).default(0), "How many of those with the lowest held-out loss stay as well"),
        average: about(
          whole(0).default(0),
          "Writes the average of so many of the last at the end; 0 for none",
        ),
      })
      .prefault({}),
    "Checkpoints",
  ),
  log: about(
    z
      .strictObject({
        tensorboard: about(z.boolean().default(true), "Whether event files for TensorBoard are written"),
      })
      .prefault({}),
    "Logs beside metrics.jsonl",
  ),
  seed: about(
    whole(0).max(Number.MAX_SAFE_INTEGER).default(0),
    "Fixes initial weights and the order of the data",
  ),
  device: about(z.string().default("cpu"), "Where the model computes"),
});

/** A training configuration in which nothing is left open that has a default. */
export interface TrainConfig extends z.output<typeof schema> {}

/** What a configuration file holds. */
export interface TrainConfigInput extends z.input<typeof schema> {}

/** The part of JSON Schema that is used here. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly unit?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema | false;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

let cached: JsonSchema | undefined;

/** The JSON Schema of configuration files, as `config.schema.json` has it. */
export function configJsonSchema(): JsonSchema {
  cached ??= {
    ...z.toJSONSchema(schema, { io: "input" }),
    title: "OpenELM training configuration",
  } as JsonSchema;
  return cached;
}

/** The alternatives of a schema that `value` may be meant for, with properties before those without. */
export function alternatives(node: JsonSchema, value: unknown): readonly JsonSchema[] {
  const options = node.anyOf ?? node.oneOf;
  if (options === undefined) return [node];
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  const fitting = options.filter(({ properties }) => (properties !== undefined) === isObject);
  const kind = isObject ? (value as { kind?: unknown }).kind : undefined;
  const named = fitting.filter(({ properties }) => properties?.kind?.const === kind && kind !== undefined);
  return named.length > 0 ? named : fitting.length > 0 ? fitting : options;
}
