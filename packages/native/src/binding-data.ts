import type { NativeTokenizer } from "./binding-text.js";

/** The addon's data half: what `native/crates/elm-napi/src/data` exports. Errors carry JSON as their message. */
export interface DataBinding {
  readonly NativeDocumentReader: {
    open(path: string, options: NativeReaderOptions): Promise<NativeDocumentReader>;
  };
  readonly NativeControl: new (onProgress?: (progress: NativeProgress) => void) => NativeControl;
  readonly NativeShards: {
    open(folder: string, split: string): Promise<NativeShards>;
  };
  readonly NativeCorenetLoader: {
    open(
      tokenizer: NativeTokenizer,
      options: NativeCorenetOptions,
      state: string | undefined,
      ahead: number,
    ): Promise<NativeLoader>;
  };
  readonly NativePythonRandom: new (seed: number) => NativePythonRandom;
  readManifest(folder: string): Promise<string>;
}

export interface NativeReaderOptions {
  readonly textKey: string;
  readonly wholeFiles: boolean;
  readonly maxDocumentBytes: number;
}

export interface NativeDocumentReader {
  next(count: number, bytes: number): Promise<{ texts: string[]; done: boolean; bytesRead: number }>;
}

export interface NativeProgress {
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  readonly documents: number;
  readonly tokens: number;
}

export interface NativePrepareOptions {
  readonly inputs: string[];
  readonly output: string;
  readonly reader: NativeReaderOptions;
  readonly prefix?: number | undefined;
  readonly suffix?: number | undefined;
  readonly validationFraction: number;
  readonly shardTokens: number;
  readonly overwrite: boolean;
}

export interface NativeControl {
  cancel(): void;
  prepare(tokenizer: NativeTokenizer, options: NativePrepareOptions): Promise<string>;
  verify(folder: string): Promise<string>;
}

export interface NativePackedOptions {
  readonly sequenceLength: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly rank: number;
  readonly world: number;
  readonly documentMask: boolean;
  readonly ignoreIndex: number;
  readonly padId: number;
  readonly epochs?: number | undefined;
}

export interface NativeBatch {
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
  readonly documents?: Int32Array | undefined | null;
  readonly tokens: number;
  /** JSON. */
  readonly state: string;
}

export interface NativeLoader {
  /** JSON: the state before the first batch. */
  readonly state: string;
  next(): Promise<NativeBatch | null>;
}

export interface NativeShards {
  /** JSON. */
  readonly manifest: string;
  readonly id: string;
  document(number: number): Promise<Int32Array>;
  packed(options: NativePackedOptions, state: string | undefined, ahead: number): Promise<NativeLoader>;
}

export interface NativeCorenetOptions {
  readonly files: { path: string; textKey: string }[];
  readonly sequenceLength: number;
  readonly batchSize: number;
  readonly minTokens: number;
  readonly minCharacters: number;
  readonly documentWords: number;
  readonly shuffle: boolean;
  readonly seed: number;
  readonly rank: number;
  readonly world: number;
  readonly workers: number;
  readonly prefix?: number | undefined;
  readonly suffix?: number | undefined;
  readonly padId: number;
  readonly nfc: boolean;
}

export interface NativePythonRandom {
  random(): number;
  bits(bits: number): number;
  below(n: number): number;
  permutation(n: number): Uint32Array;
  choices(n: number, count: number): Uint32Array;
  sample(n: number, count: number): Uint32Array;
}
