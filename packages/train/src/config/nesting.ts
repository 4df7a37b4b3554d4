//! How deep a text of YAML goes, found out without going as deep.
import { Lexer, Parser } from "yaml";

/** Levels of lists and mappings, and what the parser has around them; a configuration has five. */
const MOST = 64;

/**
 * The character at which a text goes deeper than any configuration; undefined if it does not.
 *
 * The parser calls itself for every level that it leaves, and so deep a stack may end the process instead of throwing. What
 * is open while a text is read tells how deep it is before that.
 */
export function tooDeep(text: string): number | undefined {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    for (const _ of parser.next(lexeme)) {
      // Nothing is wanted but what stays open.
    }
    if (parser.stack.length > MOST) return parser.offset;
  }
  return undefined;
}
