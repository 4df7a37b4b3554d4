//! What a device is tuned for: the products of a training update, or of reading a prompt.
import { inference } from "@openelm/autograd";
import type { OpenELM } from "@openelm/models";
import { UsageError } from "@openelm/native";
import { Generator, randint, scope, type Tensor, tensor } from "@openelm/tensor";
import { AdamW, type Batch, type Loader, type Precision, Trainer } from "@openelm/train";

/** How much is computed at once. */
export interface WorkShape {
  /** Sequences of a batch. */
  readonly batch: number;
  /** Tokens of a sequence. */
  readonly length: number;
}

/** Tokens that mean nothing: how long a product takes does not depend on them. */
async function randomTokens({ config }: OpenELM, { batch, length }: WorkShape): Promise<Int32Array> {
  const { vocabSize, maxContextLength } = config;
  if (length > maxContextLength) {
    throw new UsageError(
      `sequences of ${length} tokens do not fit the model's context of ${maxContextLength}`,
    );
  }
  using ids = randint([batch * length], 0, vocabSize, { generator: new Generator(1), device: "cpu" });
  return (await ids.data()) as Int32Array;
}

/**
 * One update: loss, gradients and the step of AdamW. Weights are changed.
 *
 * @throws UsageError if the sequences do not fit the model's context.
 */
export async function trainOnce(
  model: OpenELM,
  {
    batch,
    length,
    precision,
    signal,
  }: WorkShape & { readonly precision: Precision; readonly signal?: AbortSignal },
): Promise<void> {
  const inputs = await randomTokens(model, { batch, length });
  const only: Batch = { inputs, targets: inputs, shape: [batch, length], tokens: inputs.length };
  const loader: Loader = {
    state: null,
    restore: () => undefined,
    async *[Symbol.asyncIterator]() {
      yield only;
    },
  };
  const optimizer = new AdamW(model, { lr: 1e-4 });
  // Nothing is measured in a recording.
  const trainer = new Trainer({ model, optimizer, loader, steps: 1, precision, capture: false });
  await trainer.fit({ signal });
  for (const state of optimizer.state().values()) state.dispose();
}

/**
 * Reads prompts into a cache, up to the logits of the next token.
 *
 * @throws UsageError if the prompts do not fit the model's context.
 */
export async function prefillOnce(model: OpenELM, { batch, length }: WorkShape): Promise<void> {
  const values = await randomTokens(model, { batch, length });
  const { device } = model.norm.weight;
  const cache = model.newCache({ batch, capacity: length });
  try {
    using logits = inference(() =>
      scope((): Tensor => {
        const ids = tensor(values, { dtype: "i32", shape: [batch, length], device });
        return model.forward(ids, { cache, last: true });
      }),
    );
    await logits.data();
  } finally {
    cache.dispose();
  }
}
