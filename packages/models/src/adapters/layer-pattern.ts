//! Patterns for the names of layers, which PEFT's files have as regular expressions.

/** Steps that a comparison may take at worst: some tenths of a second. */
const MOST_STEPS = 2 ** 28;

/**
 * Whether a layer's name ends with what a pattern means, from its begin or behind a dot; undefined where to find out could
 * take long.
 *
 * A file says what is compared with what, and an engine that goes back and tries again takes ever longer with nested
 * repetitions. Without repeated groups there are at most `(n + 1)^repetitions · 2^alternatives` ways through a name of n
 * characters.
 *
 * @throws SyntaxError if the pattern is no regular expression.
 */
export function matchesEnd(name: string, pattern: string): boolean | undefined {
  const signs = pattern.replace(/\\./gs, "").replace(/\[[^\]]*\]/g, "");
  if (/\)[*+?{]/.test(signs)) return undefined;
  // One repetition more for what stands before.
  const repetitions = 1 + (signs.match(/[*+?{]/g)?.length ?? 0);
  const alternatives = signs.match(/\|/g)?.length ?? 0;
  const ways = (name.length + 1) ** repetitions * 2 ** alternatives;
  if (ways * (name.length + pattern.length) > MOST_STEPS) return undefined;
  return new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(name);
}
