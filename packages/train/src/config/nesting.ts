//! How deep a text of YAML goes, found out without going as deep.
import { type CST, Parser } from "yaml";

/** Levels of lists and mappings; a configuration has five. */
const MOST = 64;

/**
 * Where a text goes deeper than any configuration; undefined if it does not.
 *
 * Composing a document calls itself for every level, and so deep a stack may end the process instead of throwing.
 */
export function tooDeep(text: string): number | undefined {
  const open: { readonly token: CST.Token; readonly depth: number }[] = [];
  for (const token of new Parser().parse(text)) {
    open.push({ token, depth: 0 });
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { token, depth } = next;
      if (depth > MOST) return token.offset;
      for (const inner of partsOf(token)) open.push({ token: inner, depth: depth + 1 });
    }
  }
  return undefined;
}

function partsOf(token: CST.Token): CST.Token[] {
  if (token.type === "document") return token.value ? [token.value] : [];
  if (!("items" in token)) return [];
  return token.items.flatMap(({ key, value }) => [key, value]).filter((part) => part != null);
}
