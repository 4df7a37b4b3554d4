import { UsageError } from "@openelm/native";
import { scope } from "@openelm/tensor";
import type { Batch, LanguageModel } from "./contracts.js";
import type { Evaluation } from "./events.js";
import { breathe, inPrecision, type Precision, upload } from "./update.js";

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  /** Default f32. */
  readonly precision?: Precision | undefined;
  /** Targets that count for nothing. Default: what the model takes. */
  readonly ignoreIndex?: number | undefined;
  /** UTF-8 bytes of the text that one counted token stands for, on average. */
  readonly bytesPerToken?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Cross-entropy of a model over batches, in nats per counted token, and bits per byte where the bytes are known.
 *
 * The model is in `eval()` mode meanwhile; no gradients are recorded. Sums over batches are in f64.
 *
 * @example
 * ```ts no-run
 * const { loss } = await evaluate(model, heldOut);
 * Math.exp(loss); // perplexity
 * ```
 */
export async function evaluate(
  model: LanguageModel,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  { precision = "f32", ignoreIndex, bytesPerToken, signal }: EvaluateOptions = {},
): Promise<Evaluation> {
  const { device } = model.parameters()[0]!;
  const { training } = model;
  const options = ignoreIndex === undefined ? {} : { ignoreIndex };
  const sums: Promise<number>[] = [];
  let tokens = 0;
  model.eval();
  try {
    for await (const batch of batches) {
      signal?.throwIfAborted();
      await breathe(device);
      const sum = scope(() => {
        const { ce } = inPrecision(precision, () =>
          model.loss({ ...upload(batch, device), tokens: 1 }, options),
        );
        return [ce.item()];
      })[0]!;
      sum.catch(() => undefined);
      sums.push(sum);
      tokens += batch.tokens;
    }
  } finally {
    if (training) model.train();
  }
  if (tokens === 0) throw new UsageError("evaluate: the batches hold no token that counts");
  const loss = (await Promise.all(sums)).reduce((a, b) => a + b, 0) / tokens;
  return {
    loss,
    tokens,
    bitsPerByte: bytesPerToken === undefined ? undefined : loss / Math.LN2 / bytesPerToken,
  };
}
