// Failing inputs as folders: their files, and what went wrong.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/** @typedef {import("./supervise.mjs").Failure} Failure */

/** What failures of one kind have in common: the message without its numbers and names. @param {Failure} failure */
export const kindOf = ({ kind, message, stack }) =>
  `${kind} ${message
    .replace(/"[^"]*"/g, '""')
    .replace(/\d+/g, "0")
    .slice(0, 120)} ${/\n\s+at .*/.exec(stack ?? "")?.[0].trim() ?? ""}`;

/** The first failure of each kind, and how many there are. @param {readonly Failure[]} failures */
export function distinct(failures) {
  /** @type {Map<string, { first: Failure, count: number }>} */
  const kinds = new Map();
  for (const failure of failures) {
    const key = kindOf(failure);
    const known = kinds.get(key);
    if (known === undefined) kinds.set(key, { first: failure, count: 1 });
    else known.count++;
  }
  return [...kinds.values()];
}

/** @param {string} folder @param {import("./inputs.mjs").Files} files @param {Failure} failure */
export function save(folder, files, failure) {
  rmSync(folder, { recursive: true, force: true });
  for (const [name, bytes] of files) {
    const file = path.join(folder, "files", name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, bytes);
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    path.join(folder, "failure.txt"),
    `${failure.kind}: ${failure.message}\n\n${failure.stack ?? ""}\n`,
  );
}
