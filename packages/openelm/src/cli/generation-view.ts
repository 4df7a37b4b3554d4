//! What a person or a program sees of text that is made.
import type { GenerateEvent, Usage } from "@openelm/models";
import pc from "picocolors";
import type { Output } from "./output.js";

/** How long a text took, and of how many tokens it is. */
export interface Pace {
  readonly tokens: number;
  /** Until the first token. */
  readonly promptSeconds: number;
  readonly seconds: number;
  /** After the first token; undefined with less than two. */
  readonly tokensPerSecond: number | undefined;
}

/** Measures a text as it comes. */
export class Stopwatch {
  readonly #since = performance.now();
  #first: number | undefined;
  #tokens = 0;

  token(id: number): void {
    if (id < 0) return;
    this.#first ??= performance.now();
    this.#tokens++;
  }

  get pace(): Pace {
    const now = performance.now();
    const first = this.#first ?? now;
    const rate = (this.#tokens - 1) / ((now - first) / 1000);
    return {
      tokens: this.#tokens,
      promptSeconds: (first - this.#since) / 1000,
      seconds: (now - this.#since) / 1000,
      tokensPerSecond: this.#tokens > 1 && Number.isFinite(rate) ? rate : undefined,
    };
  }
}

/** `40 tokens in 1.2 s (38.3 tokens/s), prompt of 12 in 0.14 s, 21 of 30 guesses taken`. */
export function describePace(
  { tokens, seconds, promptSeconds, tokensPerSecond }: Pace,
  usage: Partial<Usage> = {},
): string {
  const rate = tokensPerSecond === undefined ? "" : ` (${tokensPerSecond.toFixed(1)} tokens/s)`;
  const { promptTokens, cachedTokens = 0, draftTokens = 0, acceptedTokens = 0 } = usage;
  const cached = cachedTokens > 0 ? `, ${cachedTokens} of them cached` : "";
  return [
    `${tokens} ${tokens === 1 ? "token" : "tokens"} in ${seconds.toFixed(1)} s${rate}`,
    promptTokens === undefined ? "" : `prompt of ${promptTokens} in ${promptSeconds.toFixed(2)} s${cached}`,
    draftTokens > 0 ? `${acceptedTokens} of ${draftTokens} guesses taken` : "",
  ]
    .filter(Boolean)
    .join(", ");
}

/** A line for each token: its probability, its text, and the likeliest others. */
export function showLogprobs(
  output: Output,
  events: readonly GenerateEvent[],
  spell: (id: number) => string,
): void {
  const share = (logprob: number): string => `${(Math.exp(logprob) * 100).toFixed(1)}%`.padStart(6);
  for (const { id, logprob, top = [] } of events) {
    if (id < 0 || logprob === undefined) continue;
    const others = top.map((token) => `${spell(token.id)} ${share(token.logprob).trim()}`).join("  ");
    output.say(`${share(logprob)}  ${spell(id).padEnd(16)}  ${pc.dim(others)}`.trimEnd());
  }
}
