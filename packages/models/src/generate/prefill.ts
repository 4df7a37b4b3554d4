import { inference } from "@openelm/autograd";
import type { KVCache } from "@openelm/nn";
import { scope, type Tensor, tensor, where } from "@openelm/tensor";
import type { CausalModel } from "./contracts.js";

/** How prompts are read. */
export interface PrefillOptions {
  readonly cache: KVCache;
  /** Most tokens of a pass. Default: all. */
  readonly chunk?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads tokens into a cache, and gives the logits after the last one of each row, `[rows, vocabulary]`.
 *
 * Rows may have different lengths. They are padded behind: the padding is written after a row's own tokens, which under a
 * causal mask do not see it, and taken back before the next pass.
 *
 * @param rows - At least one token in each.
 */
export async function prefill(
  model: CausalModel,
  rows: readonly ArrayLike<number>[],
  { cache, chunk = Number.POSITIVE_INFINITY, signal }: PrefillOptions,
): Promise<Tensor> {
  const { device } = cache;
  const lengths = rows.map((row) => row.length);
  const longest = Math.max(...lengths);
  const before = cache.lengths;
  const isRagged = lengths.some((length) => length !== longest);
  let logits: Tensor | undefined;
  for (let start = 0; start < longest; start += chunk) {
    signal?.throwIfAborted();
    const time = Math.min(chunk, longest - start);
    const values = rows.flatMap((row) => Array.from({ length: time }, (_, i) => row[start + i] ?? 0));
    const earlier: Tensor | undefined = logits;
    logits = inference(() =>
      scope(() => {
        const ids = tensor(Int32Array.from(values), { shape: [rows.length, time], device });
        if (!isRagged) return model.forward(ids, { cache, last: true }).at(":", -1) as Tensor;
        const ends = lengths.map((length) => Math.min(Math.max(length - 1 - start, 0), time - 1));
        const last = tensor(Int32Array.from(ends), { device });
        const now = model.forward(ids, { cache, last }).at(":", -1) as Tensor;
        if (earlier === undefined) return now;
        const isHere = lengths.map((length) => (length > start ? 1 : 0));
        return where(tensor(isHere, { dtype: "bool", shape: [rows.length, 1], device }), now, earlier);
      }),
    );
    earlier?.dispose();
    // Lets an abort in between, and keeps no more than one pass in memory.
    if (start + time < longest) await device.ready({ pending: 0 });
  }
  if (isRagged) cache.crop(before.map((length, row) => length + lengths[row]!));
  return logits!;
}
