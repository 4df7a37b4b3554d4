/** One shard of a prepared corpus: its files, what they hold, and their SHA-256. */
export interface ShardInfo {
  readonly file: string;
  readonly index: string;
  readonly documents: number;
  readonly tokens: number;
  /** Bytes of UTF-8 text behind the tokens, for bits per byte. */
  readonly textBytes: number;
  readonly sha256: string;
  readonly indexSha256: string;
}

export interface SplitInfo {
  readonly documents: number;
  readonly tokens: number;
  readonly textBytes: number;
  readonly shards: readonly ShardInfo[];
}

/** What `manifest.json` of a prepared corpus says. */
export interface Manifest {
  readonly format: "openelm-shards";
  readonly version: number;
  readonly dtype: "u16" | "u32";
  readonly tokenizer: { readonly file: string; readonly sha256: string; readonly vocabSize: number };
  readonly recipe: {
    readonly textKey: string;
    readonly textUnit: "line" | "file";
    readonly prefixToken: number | null;
    readonly suffixToken: number | null;
    readonly validationFraction: number;
    readonly shardTokens: number;
  };
  readonly inputs: readonly { readonly name: string; readonly bytes: number; readonly fingerprint: string }[];
  readonly train: SplitInfo;
  readonly validation: SplitInfo;
}
