//! What the model is asked to go on from.
import { openShards } from "@openelm/data";
import type { PreparedCorpus } from "../run/text.js";

/** The beginning of a text. */
export interface Prompt {
  readonly text: string;
  /** Whether nothing that begins so was trained on. */
  readonly unseen: boolean;
}

/** How many there are. */
const COUNT = 3;
/** Held-out entries are looked for among these words first, because everybody can judge an answer. */
const KNOWN_WORDS = ["hamster (noun):", "archery (noun):", "autobiography (noun):", "sapling (noun):"];
const ENTRY = /^[a-z]+ \((?:noun|verb)\):/;

/** `ocean (noun):`, and words whose entries were held out. */
export async function wordnetPrompts(corpus: PreparedCorpus, text: string): Promise<Prompt[]> {
  const heldOut = new Set(await heldOutTexts(corpus));
  const trained = new Set(
    text.split("\n").flatMap((line) => (heldOut.has(line) ? [] : (ENTRY.exec(line)?.[0] ?? []))),
  );
  const unseen = [...heldOut]
    .flatMap((line) => ENTRY.exec(line)?.[0] ?? [])
    .filter((prompt) => !trained.has(prompt));
  const known = KNOWN_WORDS.filter((prompt) => unseen.includes(prompt));
  const prompts = ["ocean (noun):", ...new Set([...known, ...unseen])].slice(0, COUNT);
  return prompts.map((prompt) => ({ text: prompt, unseen: !trained.has(prompt) }));
}

/** The first words of some held-out pieces. */
export async function heldOutPrompts(corpus: PreparedCorpus): Promise<Prompt[]> {
  const texts = await heldOutTexts(corpus);
  const places = Array.from({ length: COUNT }, (_, i) => Math.floor((i * texts.length) / COUNT));
  const beginnings = places.map((place) => texts[place]!.trim().split(/\s+/).slice(0, 4).join(" "));
  return [...new Set(beginnings)].map((text) => ({ text, unseen: true }));
}

async function heldOutTexts({ shards, tokenizer }: PreparedCorpus): Promise<string[]> {
  const validation = await openShards(shards, { split: "validation" });
  const numbers = Array.from({ length: validation.documents }, (_, number) => number);
  return Promise.all(numbers.map(async (number) => tokenizer.decode(await validation.document(number))));
}
