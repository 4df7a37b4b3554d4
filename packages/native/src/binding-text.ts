/** The addon's text half: what `native/crates/elm-napi/src/text.rs` exports. Errors carry JSON as their message. */
export interface TextBinding {
  readonly NativeTokenizer: {
    load(path: string): Promise<NativeTokenizer>;
  };
  readonly NativeBpeTrainer: new (options: NativeTrainOptions) => NativeBpeTrainer;
}

export interface NativeEncodeOptions {
  readonly prefix?: number | undefined;
  readonly suffix?: number | undefined;
  readonly parseSpecial: boolean;
  readonly template: boolean;
}

export interface NativeTokenizer {
  readonly kind: "huggingFace" | "sentencePiece";
  readonly fileName: "tokenizer.json" | "tokenizer.model";
  readonly vocabSize: number;
  readonly sha256: string;
  /** Beginning, end, padding. */
  namedIds(): (number | null | undefined)[];
  specialTokens(): { id: number; text: string }[];
  token(id: number): string | null;
  find(token: string): number | null;
  encodeBatch(
    texts: string[],
    options: NativeEncodeOptions,
  ): Promise<{ ids: Int32Array; lengths: Uint32Array }>;
  decode(ids: Uint32Array, skipSpecial: boolean): Promise<string>;
  stream(skipSpecial: boolean): NativeTokenStream;
  save(path: string): Promise<void>;
}

export interface NativeTokenStream {
  push(id: number): string;
  end(): string;
}

export interface NativeTrainOptions {
  readonly vocabSize: number;
  readonly specialTokens: string[];
  readonly minFrequency: number;
  readonly splitDigits: boolean;
}

export interface NativeBpeTrainer {
  feed(texts: string[]): Promise<void>;
  finish(): Promise<NativeTokenizer>;
}
