import { join, resolve } from "node:path";
import { FormatError, type NativeShards } from "@openelm/native";
import { requireInteger, requireKnown } from "./check.js";
import { controlled } from "./control.js";
import type { Manifest } from "./manifest.js";
import { binding, callAsync } from "./native.js";
import type { LongWork } from "./progress.js";
import { Tokenizer } from "./tokenizer.js";

export interface OpenShardsOptions extends LongWork {
  /** Default `"train"`. */
  readonly split?: "train" | "validation";
  /** Compare every file with its hash in the manifest, which reads all of it. Default `false`: lengths only. */
  readonly verify?: boolean;
}

/** One split of a prepared corpus, mapped into memory. */
export class Shards {
  readonly path: string;
  readonly split: "train" | "validation";
  readonly manifest: Manifest;
  readonly documents: number;
  readonly tokens: number;
  /** A short name of the content: equal exactly when the shards are. */
  readonly id: string;
  /** @internal */
  readonly native: NativeShards;

  /** @internal */
  constructor(path: string, split: "train" | "validation", native: NativeShards) {
    this.path = path;
    this.split = split;
    this.native = native;
    this.manifest = JSON.parse(native.manifest) as Manifest;
    this.documents = this.manifest[split].documents;
    this.tokens = this.manifest[split].tokens;
    this.id = native.id;
  }

  /** The ids of document `number`, in the order of the corpus. */
  async document(number: number): Promise<Int32Array> {
    requireInteger("number", number, 0, Number.MAX_SAFE_INTEGER);
    return callAsync(() => this.native.document(number));
  }

  /** The tokenizer that the corpus was made with. */
  async tokenizer(): Promise<Tokenizer> {
    const path = join(this.path, this.manifest.tokenizer.file);
    const tokenizer = await Tokenizer.load(path);
    if (tokenizer.sha256 === this.manifest.tokenizer.sha256) return tokenizer;
    throw new FormatError(`${path}: SHA-256 is ${tokenizer.sha256}, the manifest says another`, { path });
  }
}

/**
 * Opens a corpus that {@link prepare} has written.
 *
 * @throws FormatError if a file does not fit the manifest, FileError if one is missing.
 */
export async function openShards(path: string, options: OpenShardsOptions = {}): Promise<Shards> {
  requireKnown("openShards", options, ["split", "verify", "signal", "onProgress"]);
  const { split = "train", verify = false } = options;
  const folder = resolve(path);
  if (verify) await controlled(options, (control) => control.verify(folder));
  return new Shards(folder, split, await callAsync(() => binding().NativeShards.open(folder, split)));
}
