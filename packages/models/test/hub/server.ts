//! A hub on this machine: the three requests that the client makes.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the server does that a good one does not. */
export interface Faults {
  /** Breaks the connection off after so many bytes of a file's content, this many times. */
  cut?: { after: number; times: number };
  /** Changes a byte of what it gives. */
  corrupt?: boolean;
  /** Answers everything with it. */
  status?: number;
}

export class Hub {
  readonly faults: Faults = {};
  readonly requests: string[] = [];
  readonly #server: Server;
  readonly #files: ReadonlyMap<string, Buffer>;
  readonly #repo: string;
  commit = "a".repeat(40);

  private constructor(repo: string, files: ReadonlyMap<string, Buffer>) {
    this.#repo = repo;
    this.#files = files;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(repo: string, files: ReadonlyMap<string, Buffer>): Promise<Hub> {
    const hub = new Hub(repo, files);
    await new Promise<void>((resolve) => hub.#server.listen(0, "127.0.0.1", resolve));
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #answer({ url = "", headers }: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(url, this.url);
    this.requests.push(`${pathname}${headers.range === undefined ? "" : ` ${headers.range}`}`);
    const json = (value: unknown, status = 200): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    if (this.faults.status !== undefined) {
      json({ error: "no" }, this.faults.status);
      return;
    }
    const api = `/api/models/${this.#repo}`;
    if (["main", this.commit].some((name) => pathname === `${api}/revision/${name}`)) {
      json({ _id: "1", id: this.#repo, sha: this.commit });
    } else if (pathname === `${api}/tree/${this.commit}`) json([...this.#files].map(listed));
    else this.#resolve(pathname, headers.range, response, json);
  }

  #resolve(
    pathname: string,
    range: string | undefined,
    response: ServerResponse,
    json: (value: unknown, status: number) => void,
  ): void {
    const file = this.#files.get(pathname.replace(`/${this.#repo}/resolve/${this.commit}/`, ""));
    if (file === undefined) json({ error: "not found" }, 404);
    else this.#content(file, range, response);
  }

  #content(file: Buffer, range: string | undefined, response: ServerResponse): void {
    const [, first = "0", last = ""] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    const [start, end] = [Number(first), last === "" ? file.length : Math.min(file.length, Number(last) + 1)];
    const part = Buffer.from(file.subarray(start, end));
    if (this.faults.corrupt && part.length > 1) part[part.length - 1]! ^= 1;
    response.writeHead(range === undefined ? 200 : 206, {
      etag: `"${hashOf(file)}"`,
      "content-length": part.length,
      "content-range": `bytes ${start}-${end - 1}/${file.length}`,
    });
    const { cut } = this.faults;
    if (cut === undefined || cut.times === 0 || part.length <= cut.after) {
      response.end(part);
      return;
    }
    cut.times--;
    response.write(part.subarray(0, cut.after), () => setTimeout(() => response.destroy(), 20));
  }
}

const hashOf = (file: Buffer): string => createHash("sha256").update(file).digest("hex");

/** Large files by their SHA-256, small ones by git's hash. */
function listed([path, content]: readonly [string, Buffer]): object {
  const { length: size } = content;
  const oid = createHash("sha1").update(`blob ${size}\0`).update(content).digest("hex");
  const lfs = path.endsWith(".safetensors") ? { lfs: { oid: hashOf(content), size, pointerSize: 130 } } : {};
  return { type: "file", path, size, oid, ...lfs };
}
