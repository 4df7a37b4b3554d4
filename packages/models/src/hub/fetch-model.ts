import { join } from "node:path";
import { FileError, FormatError, UsageError } from "@openelm/native";
import { filesOf } from "../convert/files/safetensors-source.js";
import { CachedModel, COMMIT } from "./cache.js";
import { type HubClient, hubClient, type RemoteFile } from "./client.js";
import { downloadFile, hashOf } from "./download-file.js";
import { asHubError, isOutage } from "./errors.js";

/** How far a download is. */
export interface DownloadProgress {
  readonly phase: "download";
  readonly done: number;
  readonly total: number;
  readonly unit: "bytes";
  /** The file that is coming. */
  readonly file: string;
}

/** Options of {@link fetchModel}. */
export interface FetchModelOptions {
  /** A branch, a tag or a commit. Default `main`, or what stands behind `@` in the name. */
  readonly revision?: string | undefined;
  /** Default `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `~/.cache/huggingface/hub`. */
  readonly cacheDir?: string | undefined;
  /** Whether only the cache is looked into. Default: whether `HF_HUB_OFFLINE` is set. */
  readonly offline?: boolean | undefined;
  /** Default `HF_ENDPOINT`, or the public hub. */
  readonly endpoint?: string | undefined;
  /** For models that are not for everybody. Default `HF_TOKEN`. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Files that are of use: configuration, weights, tokenizer. No code, and no second copy of the weights. */
const WANTED =
  /^(?:config\.json|generation_config\.json|[\w.-]+\.safetensors|model\.safetensors\.index\.json|tokenizer[\w.-]*|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt|chat_template\.[\w.]+|LICENSE[\w.]*)$/;

const NAME = /^(?:hf:)?([\w][\w.-]*\/[\w][\w.-]*)(?:@([\w][\w./-]*))?$/;

/** Whether a text could name a model of the hub: `owner/name`, with `hf:` before and `@revision` behind if need be. */
export const isHubName = (text: string): boolean => NAME.test(text) && !text.includes("..");

/**
 * The folder of a model of the Hugging Face hub in the cache that Hugging Face's programs share; what is not in it yet is
 * downloaded. A download that was broken off is gone on with, and every file is held to the hash that the hub says.
 *
 * @throws FileError if it is neither in the cache nor can be had, or the hub refuses it; FormatError if a file is not what
 * the hub says; UsageError if `name` is not `owner/name`.
 * @example
 * ```ts no-run
 * const folder = await fetchModel("apple/OpenELM-270M");
 * const model = await OpenELM.load(folder);
 * ```
 */
export async function fetchModel(name: string, options: FetchModelOptions = {}): Promise<string> {
  const [, repo, behind] = NAME.exec(name) ?? [];
  const revision = options.revision ?? behind ?? "main";
  if (repo === undefined || `${repo}/${revision}`.split("/").includes(".."))
    throw new UsageError(`${name} is no model of the hub; such have names like apple/OpenELM-270M`);
  const client = await hubClient();
  const { cacheDir = client.getHFHubCachePath(), offline = isSet(process.env.HF_HUB_OFFLINE) } = options;
  const cache = new CachedModel(join(cacheDir, client.getRepoFolderName({ type: "model", name: repo })));
  // A commit never changes.
  if (COMMIT.test(revision) && (await isWhole(cache, revision))) return cache.snapshot(revision);
  if (offline) return cached(cache, repo, revision, "HF_HUB_OFFLINE is set");
  const endpoint = (options.endpoint ?? process.env.HF_ENDPOINT ?? "https://huggingface.co").replace(
    /\/$/,
    "",
  );
  const remote = new Remote(client, { ...options, repo, endpoint });
  try {
    const commit = await remote.commit(revision);
    await new Download(remote, cache, commit, options).run();
    await cache.setCommit(revision, commit);
    return cache.snapshot(commit);
  } catch (error) {
    options.signal?.throwIfAborted();
    // Without a network the last state that was whole is as good as any.
    const known = isOutage(error)
      ? await cached(cache, repo, revision, "").catch(() => undefined)
      : undefined;
    if (known !== undefined) return known;
    throw asHubError(error, repo, endpoint);
  }
}

const isSet = (value: string | undefined): boolean =>
  value !== undefined && ["1", "true", "yes", "on"].includes(value.toLowerCase());

async function cached(cache: CachedModel, repo: string, revision: string, why: string): Promise<string> {
  const commit = await cache.commit(revision);
  if (commit !== undefined && (await isWhole(cache, commit))) return cache.snapshot(commit);
  throw new FileError(
    `${repo} at ${revision} is not in the cache, and ${why}; unset it to download the model`,
    {
      path: repo,
    },
  );
}

/** Whether a snapshot has all that a model needs; other programs fetch the files that they need one by one. */
async function isWhole(cache: CachedModel, commit: string): Promise<boolean> {
  if (!(await cache.has(commit, "config.json"))) return false;
  const weights = await filesOf(cache.snapshot(commit)).catch(() => undefined);
  if (weights === undefined) return false;
  for (const name of weights.names) if (!(await cache.has(commit, name))) return false;
  return true;
}

/** What is asked of the hub. */
class Remote {
  readonly #client: HubClient;
  readonly #request: {
    readonly repo: string;
    readonly hubUrl: string;
    readonly fetch: typeof fetch;
    readonly accessToken?: string;
  };

  constructor(
    client: HubClient,
    {
      repo,
      endpoint,
      signal,
      token = process.env.HF_TOKEN,
    }: FetchModelOptions & { repo: string; endpoint: string },
  ) {
    this.#client = client;
    this.#request = {
      repo,
      hubUrl: endpoint,
      fetch: (url, init) => fetch(url, signal === undefined ? init : { ...init, signal }),
      ...(token ? { accessToken: token } : {}),
    };
  }

  async commit(revision: string): Promise<string> {
    const { repo: name, ...request } = this.#request;
    const { sha } = await this.#client.modelInfo({ ...request, name, revision, additionalFields: ["sha"] });
    if (COMMIT.test(sha)) return sha;
    throw new FormatError(`${name}: the hub names no commit for ${revision}`, { path: name });
  }

  async files(revision: string): Promise<RemoteFile[]> {
    const files: RemoteFile[] = [];
    for await (const file of this.#client.listFiles({ ...this.#request, revision, recursive: false })) {
      if (file.type === "file" && WANTED.test(file.path) && isSound(file)) files.push(file);
    }
    return files;
  }

  async content(revision: string, path: string): Promise<Blob> {
    const blob = await this.#client.downloadFile({ ...this.#request, revision, path });
    if (blob !== null) return blob;
    throw new FileError(`${this.#request.repo}: ${path} is not there any more`, { path });
  }
}

/** Whether sizes and hashes are such: the hash becomes the name of a file. */
const isSound = (file: RemoteFile): boolean =>
  Number.isSafeInteger(file.size) && file.size >= 0 && /^[0-9a-f]{40,64}$/.test(hashOf(file));

/** The files of one commit, one after another. */
class Download {
  readonly #remote: Remote;
  readonly #cache: CachedModel;
  readonly #commit: string;
  readonly #options: FetchModelOptions;

  constructor(remote: Remote, cache: CachedModel, commit: string, options: FetchModelOptions) {
    this.#remote = remote;
    this.#cache = cache;
    this.#commit = commit;
    this.#options = options;
  }

  async run(): Promise<void> {
    const files = await this.#remote.files(this.#commit);
    // The configuration comes last: a snapshot that has one is whole.
    files.sort((a, b) => Number(a.path === "config.json") - Number(b.path === "config.json"));
    const total = files.reduce((sum, { size }) => sum + size, 0);
    let before = 0;
    for (const file of files) {
      const progress = (bytes: number): void =>
        this.#options.onProgress?.({
          phase: "download",
          done: before + bytes,
          total,
          unit: "bytes",
          file: file.path,
        });
      this.#options.signal?.throwIfAborted();
      await this.#one(file, progress);
      before += file.size;
      progress(0);
    }
  }

  async #one(file: RemoteFile, progress: (bytes: number) => void): Promise<void> {
    const hash = hashOf(file);
    if (await this.#cache.has(this.#commit, file.path)) return;
    if (!(await this.#cache.hasContent(hash))) {
      const content = (): Promise<Blob> => this.#remote.content(this.#commit, file.path);
      await downloadFile(file, this.#cache.content(hash), content, progress);
    }
    await this.#cache.link(this.#commit, file.path, hash);
  }
}
