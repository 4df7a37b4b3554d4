// The code that documentation shows: in fences of Markdown, and below @example in sources.

/**
 * @typedef {object} Block
 * @property {string} place - Where it stands: file and line.
 * @property {string} language
 * @property {string} info - What follows the language on the line of the fence.
 * @property {string} code
 */

/**
 * The fenced blocks of a Markdown text.
 *
 * @param {string} file - Its name, for messages.
 * @param {string} text
 * @param {number} [above] - Lines above the text in its file.
 * @returns {Block[]}
 */
export function blocksOf(file, text, above = 0) {
  return [...text.matchAll(/^```(\S+)[ \t]*(.*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    place: `${file}:${above + text.slice(0, match.index).split("\n").length}`,
    language: match[1],
    info: match[2].trim(),
    code: match[3],
  }));
}

/**
 * The blocks below `@example` in the comments of a TypeScript source.
 *
 * @param {string} file
 * @param {string} source
 * @returns {Block[]}
 */
export function examplesOf(file, source) {
  return [...source.matchAll(/@example\n([\s\S]*?)\*\//g)].flatMap((match) => {
    const text = match[1].replaceAll(/^[ \t]*\* ?/gm, "").replace(/[ \t]+$/, "");
    const above = source.slice(0, match.index).split("\n").length;
    return blocksOf(file, text, above);
  });
}

/**
 * Whether a quotation stands in a source, line by line and in one piece. A line `…` (also as a comment) stands for
 * any lines; indentation counts only within the quotation.
 *
 * @param {string} quotation
 * @param {string} source
 */
export function isQuoted(quotation, source) {
  const lines = source.split("\n").map((line) => line.trim());
  let from = 0;
  for (const piece of quotation.trimEnd().split(/^[ \t]*(?:\/\/ ?)?…[ \t]*$/m)) {
    const wanted = piece.replace(/^\n/, "").trimEnd().split("\n");
    if (wanted.join("").trim() === "") continue;
    const at = lines.findIndex(
      (_, i) => i >= from && wanted.every((line, k) => lines[i + k] === line.trim()),
    );
    if (at < 0) return false;
    from = at + wanted.length;
  }
  return true;
}
