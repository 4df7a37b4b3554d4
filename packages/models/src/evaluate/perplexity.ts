//! How well a model foretells text, and how near its foretelling is to another model's.
import { setImmediate } from "node:timers/promises";
import { inference } from "@openelm/autograd";
import { UsageError } from "@openelm/native";
import {
  argmax,
  eq,
  exp,
  logSoftmax,
  scope,
  stack,
  type Tensor,
  takeAlongAxis,
  tensor,
} from "@openelm/tensor";
import type { OpenELM } from "../openelm/model.js";
import { rowsOf, type Window, windowsOf } from "./windows.js";

/** How far an evaluation is. */
export interface PerplexityProgress {
  readonly phase: "evaluate";
  readonly done: number;
  readonly total: number;
  readonly unit: "tokens";
}

/** Options of {@link perplexity}. */
export interface PerplexityOptions {
  /** A model of the same vocabulary that the distributions are compared with, such as the one before quantization. */
  readonly against?: OpenELM | undefined;
  /** Tokens that are seen together. Default: the models' context, at most 2048. */
  readonly window?: number | undefined;
  /** Tokens from one window to the next. Default: half of the window. */
  readonly stride?: number | undefined;
  /** UTF-8 bytes of all texts together, by which bits per byte are told. */
  readonly bytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: PerplexityProgress) => void) | undefined;
}

/** How well a model foretells. */
export interface TextScore {
  /** Mean negative log-likelihood of a token, in nats. */
  readonly nats: number;
  /** `exp(nats)`: among how many equally likely tokens the model would be as unsure. */
  readonly perplexity: number;
  /** Where the bytes are known. */
  readonly bitsPerByte: number | undefined;
}

/** What {@link perplexity} finds. */
export interface PerplexityResult extends TextScore {
  /** Tokens that were scored: all but the first of each text. */
  readonly tokens: number;
  readonly window: number;
  readonly stride: number;
  readonly against: Divergence | undefined;
}

/** How far a model is from another one, and how well that one foretells. */
export interface Divergence extends TextScore {
  /** Mean over the tokens of `KL(other ‖ model) = Σ p_other · (log p_other − log p_model)`, in nats. */
  readonly kl: number;
  /** Share of the positions where both think the same token the likeliest. */
  readonly agreement: number;
}

/** Positions whose logits are in memory at a time. */
const CHUNK = 256;

/**
 * Perplexity of a model on texts, and its divergence from another model.
 *
 * Long texts are seen in windows that overlap: each token is scored once, and all but those of a text's first window follow
 * from at least `window − stride` tokens. Sums are in f64.
 *
 * @param texts - Token numbers, each text with its own beginning, such as a token for it.
 * @throws UsageError if nothing is to be scored, ids are none of the model's, or the vocabularies differ.
 * @example
 * ```ts no-run
 * const quantized = await OpenELM.load("OpenELM-270M-4bit");
 * const ids = await tokenizer.encode("The sea is wide.", { addBos: true });
 * const { against } = await perplexity(quantized, [ids], { against: model });
 * console.log(against?.kl, against?.agreement);
 * ```
 * @see Jelinek et al., 1977, "Perplexity—a measure of the difficulty of speech recognition tasks"
 */
export async function perplexity(
  model: OpenELM,
  texts: Iterable<Int32Array>,
  options: PerplexityOptions = {},
): Promise<PerplexityResult> {
  const { against, bytes, signal, onProgress } = options;
  const { window, stride } = checkedWindow(model, options);
  const windows = [...texts].flatMap((ids) => windowsOf(checkedIds(model, ids), window, stride));
  const tokens = windows.reduce((sum, { ids, from }) => sum + ids.length - from, 0);
  if (tokens === 0)
    throw new UsageError("perplexity: each text is one token or none, so nothing can be scored");
  const models = against === undefined ? [model] : [model, against];
  const training = models.map((each) => each.training);
  for (const each of models) each.eval();
  const sums = new Float64Array(SUMS);
  let done = 0;
  try {
    for (const row of rowsOf(windows, window)) {
      signal?.throwIfAborted();
      await setImmediate();
      for (const part of await scoreRow(models, row)) for (const [i, sum] of part.entries()) sums[i]! += sum;
      done += row.reduce((sum, { ids, from }) => sum + ids.length - from, 0);
      onProgress?.({ phase: "evaluate", done, total: tokens, unit: "tokens" });
    }
  } finally {
    for (const [i, each] of models.entries()) if (training[i]) each.train();
  }
  const [nll, kl, agreed, nllAgainst] = sums as unknown as [number, number, number, number];
  const score = (sum: number): TextScore => ({
    nats: sum / tokens,
    perplexity: Math.exp(sum / tokens),
    bitsPerByte: bytes === undefined ? undefined : sum / Math.LN2 / bytes,
  });
  return {
    ...score(nll),
    tokens,
    window,
    stride,
    against:
      against === undefined
        ? undefined
        : { ...score(nllAgainst), kl: kl / tokens, agreement: agreed / tokens },
  };
}

/** How many sums {@link compared} gives. */
const SUMS = 4;

function checkedWindow(
  model: OpenELM,
  { against, window, stride }: PerplexityOptions,
): { readonly window: number; readonly stride: number } {
  const most = Math.min(
    model.config.maxContextLength,
    against?.config.maxContextLength ?? Number.POSITIVE_INFINITY,
  );
  const size = window ?? Math.min(most, 2048);
  const step = stride ?? Math.ceil(size / 2);
  if (!Number.isInteger(size) || size < 2 || size > most) {
    throw new UsageError(`perplexity: window must be 2 to the ${most} tokens of the context, got ${size}`);
  }
  if (!Number.isInteger(step) || step < 1 || step >= size) {
    throw new UsageError(
      `perplexity: stride must be at least 1 and less than the window of ${size}, got ${step}`,
    );
  }
  if (against !== undefined && against.config.vocabSize !== model.config.vocabSize) {
    throw new UsageError(
      `perplexity: the models have ${model.config.vocabSize} and ${against.config.vocabSize} tokens; their distributions cannot be compared`,
    );
  }
  return { window: size, stride: step };
}

function checkedIds({ config: { vocabSize } }: OpenELM, ids: Int32Array): Int32Array {
  const wrong = ids.find((id) => id < 0 || id >= vocabSize);
  if (wrong === undefined) return ids;
  throw new UsageError(`perplexity: the model has ${vocabSize} tokens, and none with the number ${wrong}`);
}

/** The sums of a row, part by part. */
async function scoreRow(models: readonly OpenELM[], row: readonly Window[]): Promise<Float32Array[]> {
  const { positions, targets } = scoredPositions(row);
  const parts = inference(() =>
    scope(() => {
      const hidden = models.map((model) => hiddenOf(model, row));
      const made: Tensor[] = [];
      for (let at = 0; at < positions.length; at += CHUNK) {
        const part = positions.subarray(at, at + CHUNK);
        const wanted = targets.subarray(at, at + CHUNK);
        made.push(scope(() => compared(models, hidden, part, wanted)));
      }
      return made;
    }),
  );
  const values = await Promise.all(parts.map((part) => part.data()));
  for (const part of parts) part.dispose();
  return values as Float32Array[];
}

/** Positions of a row whose next token is scored, and that token. */
function scoredPositions(row: readonly Window[]): { positions: Int32Array; targets: Int32Array } {
  const [positions, targets]: [number[], number[]] = [[], []];
  let start = 0;
  for (const { ids, from } of row) {
    for (let i = from; i < ids.length; i++) {
      positions.push(start + i - 1);
      targets.push(ids[i]!);
    }
    start += ids.length;
  }
  return { positions: Int32Array.from(positions), targets: Int32Array.from(targets) };
}

/** What the last layer gives for a row, `[time, dim]`; its windows do not see each other. */
function hiddenOf(model: OpenELM, row: readonly Window[]): Tensor {
  const { device } = model.norm.weight;
  const shape = [1, row.reduce((sum, { ids }) => sum + ids.length, 0)];
  const numbers = (of: (window: Window, index: number) => Iterable<number>): Tensor =>
    tensor(Int32Array.from(row.flatMap((window, i) => [...of(window, i)])), { shape, dtype: "i32", device });
  const documents = row.length === 1 ? undefined : numbers(({ ids }, i) => ids.map(() => i));
  return model
    .hidden(
      numbers(({ ids }) => ids),
      { documents },
    )
    .reshape([shape[1]!, -1]);
}

/** Sums over some positions: negative log-likelihoods, divergence, agreement, and the other's negative log-likelihoods. */
function compared(
  models: readonly OpenELM[],
  hidden: readonly Tensor[],
  positions: Int32Array,
  targets: Int32Array,
): Tensor {
  const [own, other] = models.map((model, i) => {
    const rows = hidden[i]!.at(tensor(positions, { dtype: "i32", device: hidden[i]!.device })) as Tensor;
    return logSoftmax(model.logits(rows.reshape([1, positions.length, -1])).to("f32")).reshape([
      positions.length,
      -1,
    ]);
  }) as [Tensor, Tensor | undefined];
  const { device } = own;
  const next = tensor(targets, { shape: [targets.length, 1], dtype: "i32", device });
  const nll = (logProbs: Tensor): Tensor => takeAlongAxis(logProbs, next).sum().neg();
  if (other === undefined) return stack([nll(own)]);
  const theirs = other.to({ device });
  const kl = exp(theirs).mul(theirs.sub(own)).sum();
  const agreed = eq(argmax(own, { axis: -1 }), argmax(theirs, { axis: -1 }))
    .to("f32")
    .sum();
  return stack([nll(own), kl, agreed, nll(theirs)]);
}
