// Looks at every file of the repository: its length, and words that must not stand in it.
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { CODE, FORBIDDEN, GENERATED, LONGER, MAX_LINES, UNSEARCHED } from "../check.config.mjs";
import { output, ScriptError } from "./run.mjs";

/**
 * Files that git knows or would add, relative to the top.
 *
 * @param {string} root
 */
export function files(root) {
  const listed = output("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
  });
  if (listed === undefined) throw new ScriptError("git is needed to list the files of the repository");
  const names = listed.split("\0").filter((name) => name !== "");
  return names.filter(
    (name) => existsSync(path.join(root, name)) && statSync(path.join(root, name)).isFile(),
  );
}

/**
 * Hand-written files over the bound, and exceptions that are needed no more.
 *
 * @param {string} root
 * @param {string[]} names
 * @param {Record<string, string>} [longer]
 */
export function longFiles(root, names, longer = LONGER) {
  const lengths = new Map(
    names.filter((name) => CODE.test(name) && !isGenerated(name)).map((name) => [name, lines(root, name)]),
  );
  const long = [...lengths].filter(([name, length]) => length > MAX_LINES && !(name in longer));
  return [
    ...long.map(
      ([name, length]) => `${name}: ${length} lines; a file is one thing, split it by ${MAX_LINES}`,
    ),
    ...Object.keys(longer)
      .filter((name) => (lengths.get(name) ?? 0) <= MAX_LINES)
      .map((name) => `scripts/check.config.mjs: ${name} is short enough now; remove it from LONGER`),
  ];
}

/**
 * Places where something stands that must not.
 *
 * @param {string} root
 * @param {string[]} names
 */
export function forbiddenText(root, names) {
  return names
    .filter((name) => !UNSEARCHED.some((pattern) => pattern.test(name)))
    .flatMap((name) => {
      const text = readFileSync(path.join(root, name), "utf8");
      return text.includes("\0") ? [] : forbiddenIn(name, text);
    });
}

/** @param {string} name @param {string} text */
function forbiddenIn(name, text) {
  const rules = FORBIDDEN.filter((rule) => (rule.in?.test(name) ?? true) && !rule.except?.test(name));
  return rules.flatMap(({ pattern, why }) =>
    [...text.matchAll(new RegExp(pattern, `g${pattern.flags}`))].map(
      (match) => `${name}:${text.slice(0, match.index).split("\n").length}: "${match[0].trim()}" ${why}`,
    ),
  );
}

/** @param {string} name */
export const isGenerated = (name) => GENERATED.some((pattern) => pattern.test(name));

/** @param {string} root @param {string} name */
const lines = (root, name) => readFileSync(path.join(root, name), "utf8").trimEnd().split("\n").length;
