// The module specifiers of a TypeScript or JavaScript file, found without a compiler.

/** @typedef {{ specifier: string, typeOnly: boolean, line: number }} Import */

const STATEMENT =
  /(?:^|[;{}\n])\s*(?:import|export)\s+(?<type>type\s)?(?:[\w*\s{},$]*?\sfrom\s*|[{*][\w*\s{},$]*?from\s*)?(?<quote>["'])(?<name>[^"'\n]+)\k<quote>/g;
const CALL = /\b(?:import|require(?:\.resolve)?)\s*\(\s*(?<quote>["'])(?<name>[^"'\n]+)\k<quote>/g;

/**
 * Every import, export-from, dynamic import and require of a file.
 *
 * @param {string} source
 * @returns {Import[]}
 */
export function importsOf(source) {
  const code = withoutComments(source);
  const found = [STATEMENT, CALL].flatMap((pattern) =>
    [...code.matchAll(pattern)].map(({ groups, index, 0: text }) => ({
      specifier: /** @type {string} */ (groups?.name),
      typeOnly: groups?.type !== undefined,
      line: code.slice(0, index + text.length).split("\n").length,
    })),
  );
  return found.sort((a, b) => a.line - b.line);
}

/**
 * Blanks comments, the text of template literals and quotes inside strings, so that examples in docs are no
 * imports. Lines keep their numbers.
 *
 * @param {string} source
 */
export function withoutComments(source) {
  let out = "";
  let last = "";
  for (let i = 0; i < source.length; ) {
    const end = skip(source, i, last);
    const text = source.slice(i, end);
    const blank = text.startsWith("//") || text.startsWith("/*") || text.startsWith("`");
    const string = text.length > 1 && /^["']/.test(text);
    if (blank) out += text.replaceAll(/[^\n]/g, " ");
    else out += string ? text[0] + text.slice(1, -1).replaceAll(/["'(]/g, " ") + text.at(-1) : text;
    if (!blank && text.trim() !== "") last = (last + text.trim()).slice(-16);
    i = end;
  }
  return out;
}

/**
 * Where the token that begins at `i` ends: a comment, a string, a template, a regular expression or one character.
 *
 * @param {string} source
 * @param {number} i
 * @param {string} before - The code before it, without space.
 */
function skip(source, i, before) {
  const two = source.slice(i, i + 2);
  if (two === "//") return until(source, "\n", i);
  if (two === "/*") return until(source, "*/", i + 2, 2);
  const quote = source[i];
  if (quote === '"' || quote === "'" || quote === "`") return closing(source, i, quote);
  const startsExpression =
    before === "" || /[(,=:[!&|?{};+\-*%<>~^]$|\b(?:return|typeof|case|in|of)$/.test(before);
  if (quote === "/" && startsExpression) return closing(source, i, "/");
  return i + 1;
}

/** @param {string} source @param {string} what @param {number} from @param {number} [length] */
function until(source, what, from, length = 0) {
  const at = source.indexOf(what, from);
  return at < 0 ? source.length : at + length;
}

/**
 * The end of a literal. Only a template goes over lines, so that a stray quote spoils its own line and no more.
 *
 * @param {string} source @param {number} start @param {string} quote
 */
function closing(source, start, quote) {
  let inClass = false;
  for (let i = start + 1; i < source.length; i++) {
    const c = source[i];
    if (c === "\\") i++;
    else if (quote === "`" && source.startsWith("${", i)) i = expression(source, i + 2) - 1;
    else if (c === "\n" && quote !== "`") return i;
    else if (quote === "/" && (c === "[" || c === "]")) inClass = c === "[";
    else if (c === quote && !inClass) return i + 1;
  }
  return source.length;
}

/** The end of `${ … }`, behind its brace. @param {string} source @param {number} start */
function expression(source, start) {
  let depth = 1;
  for (let i = start; i < source.length; ) {
    if (source[i] === "{") depth++;
    if (source[i] === "}" && --depth === 0) return i + 1;
    i = skip(source, i, "x");
  }
  return source.length;
}
