//! Chosen tokens on the host.
import { OpError } from "@openelm/native";
import type { Chosen } from "../sampling/chooser.js";

/** A token and how likely the model held it, as a natural logarithm. */
export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

/** A token that was made. */
export interface Token {
  readonly id: number;
  /** With the option `logprobs`. */
  readonly logprob?: number;
  /** With the option `logprobs` above 0: the likeliest tokens, likeliest first. */
  readonly top?: readonly TokenLogprob[];
}

/** Reads the tokens of all rows, and frees their tensors. The read begins at the call. */
export async function readTokens({ ids, logprobs, top }: Chosen): Promise<Token[]> {
  const reads = Promise.all([ids.data(), logprobs?.data(), top?.ids.data(), top?.logprobs.data()] as const);
  // A read holds what it reads.
  for (const tensor of [ids, logprobs, top?.ids, top?.logprobs]) tensor?.dispose();
  const [chosen, own, topIds, topLogprobs] = await reads;
  const count = topIds === undefined ? 0 : topIds.length / chosen.length;
  return Array.from({ length: chosen.length }, (_, row) => {
    const token: Token = { id: Number(chosen[row]) };
    if (own === undefined) return token;
    const logprob = own[row] as number;
    if (topIds === undefined) return { ...token, logprob };
    const at = (i: number): TokenLogprob => ({
      id: Number(topIds[row * count + i]),
      logprob: topLogprobs![row * count + i] as number,
    });
    return { ...token, logprob, top: Array.from({ length: count }, (_, i) => at(i)) };
  });
}

/** @throws OpError if the model gave no numbers to choose by. */
export function requireToken(token: Token): Token {
  if (token.id >= 0) return token;
  throw new OpError(
    "KERNEL_FAILED",
    "sample",
    "no token can be chosen: the best score is not a finite number. Are the weights whole, does the dtype hold this " +
      "model's activations, and do constraint and bias leave a token?",
  );
}
