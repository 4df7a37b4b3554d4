//! Text by guesses of several tokens that the model checks in one pass.
import { inference } from "@openelm/autograd";
import { concat, Generator, scope, type Tensor, tensor, uniform } from "@openelm/tensor";
import type { Decoding } from "../decode.js";
import { prefill } from "../prefill.js";
import { Replayed } from "../replay.js";
import { readTokens, requireToken, type Token } from "../tokens.js";
import type { Draft, Drafter } from "./drafter.js";
import { verify } from "./verify.js";

/** A text that is to be continued by guesses. */
export interface Speculation extends Decoding {
  readonly drafter: Drafter;
  /** Hears how many guesses were checked and taken so far. */
  readonly tell: (counts: { readonly draftTokens: number; readonly acceptedTokens: number }) => void;
}

/** The tokens of a text, one at a time. */
export async function* speculate(
  speculation: Speculation,
): AsyncGenerator<readonly Token[], void, undefined> {
  const { model, cache, steps, prompts, options, most, drafter, tell } = speculation;
  const { device } = cache;
  const { signal, prefillChunk: chunk } = options;
  const ids = [...prompts[0]!];
  const step = steps.step(model, cache, { options, prompts });
  const { chooser } = step;
  const generator = new Generator(options.seed ?? 0);
  const draws = (count: number): Tensor | undefined =>
    chooser.greedy ? undefined : uniform([count], { generator, dtype: "f32", device });
  using check = new Replayed(
    (input, uniform, probabilities) =>
      inference(() => {
        const logits = (model.forward(input!, { cache }).at(0) as Tensor).to("f32");
        return verify(chooser, { logits, drafts: input!.at(0, "1:") as Tensor, probabilities, uniform });
      }),
    [cache],
    options.capture ?? model.replayable ?? false,
  );
  const counts = { draftTokens: 0, acceptedTokens: 0 };
  tell(counts);

  /** The first token, by a pass over all that the cache does not hold. */
  const first = async (): Promise<Token[]> => {
    const logits = await prefill(model, [ids.slice(cache.length)], { cache, chunk, signal });
    using draw = draws(1);
    const { next, ...chosen } = inference(() => scope(() => step.choose(logits, draw)));
    next.dispose();
    logits.dispose();
    return readTokens(chosen);
  };

  /** The next token, without a guess. */
  const plain = async (): Promise<Token[]> => {
    using input = tensor(Int32Array.of(ids.at(-1)!), { shape: [1, 1], device });
    using draw = draws(1);
    const { next, ...chosen } = step.run(input, draw);
    next.dispose();
    return readTokens(chosen);
  };

  /** The next tokens, by a pass over the last one and guesses. */
  const checked = async (draft: Draft): Promise<Token[]> => {
    const count = draft.ids.size;
    const before = cache.length;
    using input = scope(() => {
      const last = tensor(Int32Array.of(ids.at(-1)!), { device });
      return concat([last, draft.ids]).reshape([1, count + 1]);
    });
    using draw = draws(2 * count + 1);
    const { chosen, accepted } = check.run(input, draw, draft.probabilities);
    const [tokens, guesses, taken] = await Promise.all([
      readTokens(chosen),
      draft.ids.data(),
      accepted.item().finally(() => accepted.dispose()),
    ]);
    drafter.checked(Array.from(guesses, Number));
    cache.crop(before + 1 + taken);
    counts.draftTokens += count;
    counts.acceptedTokens += taken;
    tell(counts);
    const made = tokens.slice(0, taken + 1);
    using noted = tensor(
      Int32Array.from(made, ({ id }) => Math.max(id, 0)),
      { shape: [1, made.length], device },
    );
    scope(() => chooser.note(noted));
    return made;
  };

  let made = 0;
  const push = (token: Token): readonly Token[] => {
    ids.push(requireToken(token).id);
    made++;
    return [token];
  };
  for (const token of await first()) yield push(token);
  while (made < most) {
    signal?.throwIfAborted();
    // The check may go past what is wanted, but not past the cache.
    const fits = cache.length + 1 + drafter.tokens <= cache.capacity;
    const draft = fits ? await drafter.draft(ids) : undefined;
    let tokens: Token[];
    try {
      tokens = await (draft === undefined ? plain() : checked(draft));
    } finally {
      draft?.ids.dispose();
      draft?.probabilities?.dispose();
    }
    signal?.throwIfAborted();
    for (const token of tokens.slice(0, most - made)) yield push(token);
  }
}
