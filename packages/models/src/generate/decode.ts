//! One token after another, for one text or for several side by side.
import { inference } from "@openelm/autograd";
import type { KVCache } from "@openelm/nn";
import { type Device, Generator, scope, stack, type Tensor, tensor, uniform } from "@openelm/tensor";
import type { Constraint } from "../constrain/constraint.js";
import { isGreedy } from "../sampling/filters.js";
import type { CausalModel } from "./contracts.js";
import type { DecodeOptions } from "./options.js";
import { prefill } from "./prefill.js";
import type { StepKeeper } from "./step.js";
import { readTokens, requireToken, type Token } from "./tokens.js";

/** Texts that are to be continued. */
export interface Decoding {
  readonly model: CausalModel;
  readonly cache: KVCache;
  /** Keeps the step of the cache. */
  readonly steps: StepKeeper;
  /** All tokens of each row; the last ones are not in the cache yet. */
  readonly prompts: readonly (readonly number[])[];
  readonly options: DecodeOptions;
  /** Most tokens a row. */
  readonly most: number;
  /** Which tokens may come next; for one row. */
  readonly constraint?: Constraint | undefined;
}

/**
 * Steps that are submitted before a token is read: the next step takes the last token from the device, so the host can
 * be behind. A text that has ended is found out so many steps late, and these are thrown away.
 */
const AHEAD = 1;

/** The tokens of all rows, a step at a time. */
export async function* decode(decoding: Decoding): AsyncGenerator<readonly Token[], void, undefined> {
  const { model, cache, prompts, options, most, constraint } = decoding;
  const { device } = cache;
  const { signal, prefillChunk } = options;
  using draws = new Draws(options, { rows: prompts.length, most, cache });
  const step = decoding.steps.step(model, cache, { options, prompts });
  const ahead = constraint === undefined ? AHEAD : 0;
  const reads: Promise<Token[]>[] = [];
  let input: Tensor | undefined;
  const submit = async (at: number, logits?: Tensor): Promise<void> => {
    using allowed = constraint && maskOf(await constraint.allowed(), model, device);
    using uniform = draws.at(at);
    const { next, ...chosen } =
      logits === undefined
        ? step.run(input!, uniform, allowed)
        : inference(() => scope(() => step.choose(logits, uniform, allowed)));
    input?.dispose();
    input = next;
    const read = readTokens(chosen);
    // It rejects where it is awaited; if nobody comes to that, nobody asked.
    read.catch(() => undefined);
    reads.push(read);
  };
  try {
    const pending = prompts.map((ids, row) => ids.slice(cache.lengths[row]!));
    const logits = await prefill(model, pending, { cache, chunk: prefillChunk, signal });
    await submit(0, logits);
    logits.dispose();
    for (let submitted = 1; reads.length > 0 || submitted < most; ) {
      for (; submitted < most && reads.length <= ahead; submitted++) await submit(submitted);
      const tokens = (await reads.shift()!).map(requireToken);
      signal?.throwIfAborted();
      constraint?.accept(tokens[0]!.id);
      yield tokens;
    }
  } catch (error) {
    // What the step remembers may have come from the failure.
    decoding.steps.drop();
    throw error;
  } finally {
    input?.dispose();
  }
}

/** Which tokens may come, `[1, vocabulary]` bool. */
function maskOf(allowed: Uint8Array, { config }: CausalModel, device: Device): Tensor {
  return tensor(allowed, { dtype: "bool", shape: [1, config.vocabSize], device });
}

/** Random numbers of all steps: row `i` has those of a text of its own with the seed `seed + i`. */
class Draws {
  readonly #all: Tensor | undefined;

  constructor(
    options: DecodeOptions,
    { rows, most, cache }: { readonly rows: number; readonly most: number; readonly cache: KVCache },
  ) {
    if (isGreedy(options)) return;
    const { seed = 0 } = options;
    const { device } = cache;
    this.#all = scope(() => {
      const row = (i: number): Tensor =>
        uniform([most], { generator: new Generator(seed + i), dtype: "f32", device });
      return stack(
        Array.from({ length: rows }, (_, i) => row(i)),
        { axis: 1 },
      ).contiguous();
    });
  }

  /** Those of a step, `[rows]`. */
  at(step: number): Tensor | undefined {
    return this.#all?.at(step) as Tensor | undefined;
  }

  [Symbol.dispose](): void {
    this.#all?.dispose();
  }
}
