import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, FormatError } from "@openelm/native";

/** Tokens with a meaning of their own, by what they are for. */
export interface SpecialTokens {
  readonly bos?: string;
  readonly eos?: string;
  readonly pad?: string;
}

const CONFIG = "tokenizer_config.json";
/** What tokenizers call these tokens whose folder does not say, the commonest first. */
const USUAL = {
  bos: ["<s>", "<|bos|>", "<|begin_of_text|>", "<bos>", "<|startoftext|>", "<|endoftext|>"],
  eos: ["</s>", "<|eos|>", "<|end_of_text|>", "<eos>", "<|endoftext|>"],
  pad: ["<pad>", "<|pad|>", "[PAD]"],
} as const;

/** The tokens that `tokenizer_config.json` in `folder` names. */
export async function readSpecialTokens(folder: string): Promise<SpecialTokens> {
  const path = join(folder, CONFIG);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new FileError(`${path}: cannot read: ${(cause as Error).message}`, { path, cause });
  }
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path}: ${(cause as Error).message}`, { path, cause });
  }
  const tokens: { bos?: string; eos?: string; pad?: string } = {};
  for (const role of ["bos", "eos", "pad"] as const) {
    const token = tokenText((config as Record<string, unknown> | null)?.[`${role}_token`]);
    if (token !== undefined) tokens[role] = token;
  }
  return tokens;
}

/** A token is written as its text or as an object around it. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const content =
    typeof value === "object" && value !== null ? (value as { content?: unknown }).content : undefined;
  return typeof content === "string" ? content : undefined;
}

/** What a tokenizer's folder must say beside it for other programs to load it. */
export function specialTokensConfig(tokens: SpecialTokens): string {
  const named = Object.entries(tokens).map(([role, token]) => [`${role}_token`, token]);
  const config = { tokenizer_class: "PreTrainedTokenizerFast", clean_up_tokenization_spaces: false };
  return `${JSON.stringify({ ...config, ...Object.fromEntries(named) }, null, 2)}\n`;
}

/** The usual name for a role among the tokens that exist. */
export function usualToken(
  role: keyof SpecialTokens,
  exists: (token: string) => boolean,
): string | undefined {
  return USUAL[role].find(exists);
}
