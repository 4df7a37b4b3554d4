import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Contender } from "./turns.js";

/** What a case of a peer is made of: its name in the program and sizes. */
export interface PeerCase {
  readonly case: string;
  readonly [option: string]: unknown;
}

/** How a peer is started. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
}

interface Answer {
  readonly ready?: string;
  readonly seconds?: number;
  readonly bytes?: number | null;
  readonly missing?: string;
  readonly error?: string;
}

/** No peer outlives this process, however it ends. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Longest wait for an answer, in seconds: loading a model or compiling one takes minutes at most. */
const PATIENCE = 600;
/** How long a peer that was told to end may take for it. */
const GRACE = 2;

/**
 * A program of `peers/` in a process of its own. It is asked in lines of JSON and times its own loop, so that the pipe
 * is not measured. Its pipes keep this process alive until it is closed.
 */
export class Peer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #exited: Promise<void>;
  /** What it is and which version, or undefined where it is not installed. */
  readonly version: string | undefined;

  private constructor(
    child: ChildProcess,
    lines: AsyncIterator<string>,
    exited: Promise<void>,
    version: string | undefined,
  ) {
    this.#child = child;
    this.#lines = lines;
    this.#exited = exited;
    this.version = version;
  }

  /** Starts the program with so many threads, and waits until it says what it is. */
  static async start({ program, args }: Launch, threads: number): Promise<Peer> {
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...threadVariables(threads) },
    });
    running.add(child);
    const exited = new Promise<void>((resolve) => {
      for (const event of ["exit", "error"]) child.once(event, () => resolve());
    }).then(() => void running.delete(child));
    // A question to a program that has ended is answered by the end of its lines.
    child.stdin!.on("error", () => undefined);
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const first = await Promise.race([
      lines.next().then(({ value }) => value as string | undefined),
      exited.then(() => undefined),
    ]);
    const peer = new Peer(child, lines, exited, (JSON.parse(first ?? "{}") as Answer).ready);
    if (peer.version === undefined) await peer.close();
    return peer;
  }

  /** Id of the process, while it runs. */
  get pid(): number | undefined {
    return this.version === undefined ? undefined : this.#child.pid;
  }

  /**
   * A contender for the case, or undefined where the peer is missing.
   *
   * @throws Error if the program cannot do it.
   */
  async contender(of: PeerCase): Promise<Contender | undefined> {
    if (this.version === undefined) return undefined;
    await this.#ask({ prepare: of });
    return async (calls) => {
      const { seconds } = await this.#ask({ run: calls });
      return seconds!;
    };
  }

  /** Bytes that its device held at most, where it has one of its own. */
  async peak(): Promise<number | undefined> {
    if (this.version === undefined) return undefined;
    return (await this.#ask({ peak: true })).bytes ?? undefined;
  }

  /** Ends the program: by the end of its input, and by force if it does not see that. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    const force = setTimeout(() => this.#child.kill("SIGKILL"), GRACE * 1e3);
    await this.#exited;
    clearTimeout(force);
    // Programs that it started may hold the other end.
    this.#child.stdout?.destroy();
    this.#child.stdin?.destroy();
  }

  async #ask(question: object): Promise<Answer> {
    const late = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE * 1e3);
    this.#child.stdin!.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.#lines.next();
    clearTimeout(late);
    const answer = done ? { error: "it ended" } : (JSON.parse(value) as Answer);
    if (answer.error !== undefined) throw new Error(`${JSON.stringify(question)}: ${answer.error}`);
    return answer;
  }
}

/** What libraries read to know how many threads they may use. */
const threadVariables = (threads: number): Record<string, string> =>
  Object.fromEntries(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENELM_BENCH_THREADS"].map((name) => [
      name,
      String(threads),
    ]),
  );
