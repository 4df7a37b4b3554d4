// Examples as programs: the imports that a reader has in mind, the values that a sentence before took for granted,
// and each `expression; // value` held to the value.
import { CONTEXT } from "./context.mjs";

/**
 * The program of an example.
 *
 * @param {import("./blocks.mjs").Block} block
 * @param {Map<string, readonly string[]>} packages - What each package exports, the nearest package first.
 */
export function programOf({ code, info }, packages) {
  const context = contextOf(code);
  const imports = importsFor(`${context}\n${code}`, packages);
  const body = info === "no-run" ? code : withChecks(code);
  return [...imports, HELPER, context, body, "export {};\n"].filter((part) => part !== "").join("\n");
}

const HELPER = "declare const expectValue: (actual: unknown, expected: unknown, text: string) => void;";

/**
 * Declarations of what an example uses and does not declare, in the order of need.
 *
 * @param {string} code
 * @returns {string}
 */
function contextOf(code) {
  /** @type {string[]} */
  const lines = [];
  const add = (/** @type {string} */ text) => {
    for (const [name, line] of Object.entries(CONTEXT)) {
      if (lines.includes(line) || !uses(text, name) || declares(code, name)) continue;
      add(line.slice(line.indexOf("=")));
      if (!lines.includes(line)) lines.push(line);
    }
  };
  add(code);
  return lines.join("\n");
}

/**
 * @param {string} code
 * @param {Map<string, readonly string[]>} packages
 */
function importsFor(code, packages) {
  const taken = new Set();
  const lines = [];
  for (const [name, exported] of packages) {
    const names = exported.filter((one) => !taken.has(one) && uses(code, one) && !declares(code, one));
    for (const one of names) taken.add(one);
    if (names.length > 0) lines.push(`import { ${names.join(", ")} } from "${name}";`);
  }
  return lines;
}

/** Text without comments and strings. @param {string} code */
const bare = (code) => code.replaceAll(/\/\/.*$/gm, "").replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""');

/** Whether a name stands for a value here, and not for a property. @param {string} code @param {string} name */
const uses = (code, name) => new RegExp(`(?<![\\w$]|(?<!\\.)\\.)${name}\\b(?!\\s*:(?!:))`).test(bare(code));

/** @param {string} code @param {string} name */
const declares = (code, name) =>
  new RegExp(
    `\\b(?:const|let|using|function|class|interface)\\s+${name}\\b|` +
      `\\b(?:const|let|import type|import)\\s*(?:\\w+,\\s*)?[[{][^=\\]}]*\\b${name}\\b[^=\\]}]*[\\]}]\\s*(?:=|of\\b|from\\b)|` +
      `import (?:type )?(?:\\* as )?${name}\\b`,
  ).test(bare(code));

/** Replaces `expression; // value` by a check; a comment that is no value stays one. @param {string} code */
function withChecks(code) {
  return code.replaceAll(
    /^(?!\s*(?:const|let|using|for|if|return|class|import|export|try|\/\/)\b)(\S.*);(?: |\n)\/\/ (.+)$/gm,
    (line, expression, value) =>
      isValue(value) ? `expectValue(${expression}, ${value}, ${JSON.stringify(expression)});` : line,
  );
}

/** @param {string} text */
function isValue(text) {
  try {
    new Function(`"use strict"; return (${text});`)();
    return true;
  } catch {
    return false;
  }
}
