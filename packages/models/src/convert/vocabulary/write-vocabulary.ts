import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ModelSource } from "../source.js";
import { sentencePieceOf } from "./sentencepiece.js";
import { tokenizerJsonOf } from "./tokenizer-json.js";

/** Writes the tokenizer that a source's own file holds, where no file beside it does. */
export async function writeVocabulary(
  { vocabulary, companions }: ModelSource,
  folder: string,
): Promise<void> {
  const hasOwn = companions.some((file) => /^tokenizer\.json$|\.model$/.test(basename(file)));
  if (vocabulary === undefined || hasOwn) return;
  const { tokens, model } = vocabulary;
  if (model === "llama") await writeFile(join(folder, "tokenizer.model"), sentencePieceOf(vocabulary));
  else {
    const json = tokenizerJsonOf(vocabulary);
    if (json === undefined) return;
    await writeFile(join(folder, "tokenizer.json"), json);
  }
  const named = (id: number | undefined): string | undefined => (id === undefined ? undefined : tokens[id]);
  const config = {
    tokenizer_class: model === "llama" ? "LlamaTokenizer" : "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    bos_token: named(vocabulary.bos),
    eos_token: named(vocabulary.eos),
    unk_token: model === "llama" ? named(vocabulary.unknown) : undefined,
    pad_token: named(vocabulary.pad),
    chat_template: vocabulary.chatTemplate,
  };
  await writeFile(join(folder, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
}
