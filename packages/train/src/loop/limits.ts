import type { DoneEvent } from "./events.js";

/** Where a run ends: at the first of these. */
export interface Limits {
  readonly steps?: number | undefined;
  readonly tokens?: number | undefined;
  readonly minutes?: number | undefined;
}

/** How far a run has come. */
export interface Position {
  readonly step: number;
  readonly tokens: number;
  /** Seconds of training. */
  readonly elapsed: number;
}

/** The limit that has been reached, if any. */
export function reachedLimit(
  { steps, tokens, minutes }: Limits,
  position: Position,
): DoneEvent["reason"] | undefined {
  if (steps !== undefined && position.step >= steps) return "steps";
  if (tokens !== undefined && position.tokens >= tokens) return "tokens";
  if (minutes !== undefined && position.elapsed >= 60 * minutes) return "minutes";
  return undefined;
}

/** The share that is done, and the seconds until the end at the present pace. */
export function outlook(
  { steps, tokens, minutes }: Limits,
  position: Position,
  rate: { readonly steps: number; readonly tokens: number },
): { readonly progress: number | undefined; readonly eta: number | undefined } {
  const parts: { readonly done: number; readonly all: number; readonly perSecond: number }[] = [];
  if (steps !== undefined) parts.push({ done: position.step, all: steps, perSecond: rate.steps });
  if (tokens !== undefined) parts.push({ done: position.tokens, all: tokens, perSecond: rate.tokens });
  if (minutes !== undefined) parts.push({ done: position.elapsed, all: 60 * minutes, perSecond: 1 });
  const left = parts
    .filter(({ perSecond }) => perSecond > 0)
    .map(({ done, all, perSecond }) => Math.max(0, all - done) / perSecond);
  return {
    progress:
      parts.length > 0 ? Math.min(1, Math.max(...parts.map(({ done, all }) => done / all))) : undefined,
    eta: left.length > 0 ? Math.min(...left) : undefined,
  };
}
