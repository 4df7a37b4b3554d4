//! SentencePiece: ids of every string, and text of id lists with broken UTF-8.
import { join } from "node:path";
import { Tokenizer } from "@openelm/data";
import type { Goldens } from "./files.js";
import type { Report } from "./report.js";

interface TokenizerCase {
  readonly encode: readonly (readonly number[])[];
  /** Strings whose decoding is not the string, by number. */
  readonly decode_of_encode_differs: Readonly<Record<string, string>>;
  readonly decode: readonly { readonly ids: readonly number[]; readonly text: string }[];
}

/** The vocabularies that stand beside the goldens as files; others were made from a package and are not here. */
const MODELS: Readonly<Record<string, string>> = { tiny: "tiny-sp.model" };

export async function checkTokenizer(goldens: Goldens, report: Report): Promise<void> {
  const strings = await goldens.json<string[]>("tokenizer-strings.json");
  const cases = await goldens.json<Record<string, TokenizerCase>>("tokenizer.json");
  for (const [name, file] of Object.entries(MODELS)) {
    const golden = cases[name]!;
    const tokenizer = await Tokenizer.load(join(goldens.dir, file));
    for (const [i, text] of strings.entries()) {
      const ids = Array.from(await tokenizer.encode(text));
      report.same("tokenizer", `${name} ids of string ${i}`, ids, golden.encode[i]);
      const back = await tokenizer.decode(ids);
      report.same(
        "tokenizer",
        `${name} text of string ${i}`,
        back,
        golden.decode_of_encode_differs[i] ?? text,
      );
    }
    for (const [i, { ids, text }] of golden.decode.entries()) {
      report.same("tokenizer", `${name} decoded list ${i}`, await tokenizer.decode(ids), text);
    }
  }
}
