//! What is used of the hub's client, which is loaded when a model is asked for that is not in a folder.

/** A file of a repository. */
export interface RemoteFile {
  readonly type: string;
  readonly path: string;
  readonly size: number;
  /** Of its content as git stores it. */
  readonly oid: string;
  /** Large files lie elsewhere; this is the SHA-256 of their content. */
  readonly lfs?: { readonly oid: string; readonly size: number };
}

interface Request {
  readonly hubUrl: string;
  readonly revision: string;
  readonly accessToken?: string;
  readonly fetch: typeof fetch;
}

/** The functions of `@huggingface/hub` that are used; its own declarations name files without their endings. */
export interface HubClient {
  modelInfo(
    request: Request & { readonly name: string; readonly additionalFields: readonly ["sha"] },
  ): Promise<{ readonly sha: string }>;
  listFiles(
    request: Request & { readonly repo: string; readonly recursive: boolean },
  ): AsyncIterable<RemoteFile>;
  downloadFile(request: Request & { readonly repo: string; readonly path: string }): Promise<Blob | null>;
  getHFHubCachePath(): string;
  getRepoFolderName(repo: { readonly type: "model"; readonly name: string }): string;
}

export const hubClient = async (): Promise<HubClient> =>
  (await import("@huggingface/hub")) as unknown as HubClient;
