import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { device } from "@openelm/tensor";
import { PEERS, SOURCES } from "./places.js";
import type { Contender } from "./turns.js";

/** What a case of a peer is made of: its name in `peers/*.py` and sizes. */
export interface PeerCase {
  readonly case: string;
  readonly [option: string]: unknown;
}

interface Answer {
  readonly ready?: string;
  readonly seconds?: number;
  readonly missing?: string;
  readonly error?: string;
}

/**
 * A program of `peers/` in a Python process that lives as long as this one. It is asked in lines of JSON and times its
 * own loop, so that the pipe is not measured.
 */
export class PythonPeer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  /** What it is and which version, or undefined where its package cannot be imported. */
  readonly version: string | undefined;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, version: string | undefined) {
    this.#child = child;
    this.#lines = lines;
    this.version = version;
  }

  /** @param script - Path of the program. */
  static async start(script: string): Promise<PythonPeer> {
    const threads = String(device("cpu").stats().threads);
    const child = spawn(python(), ["-u", script], {
      stdio: ["pipe", "pipe", "inherit"],
      env: {
        ...process.env,
        OMP_NUM_THREADS: threads,
        OPENBLAS_NUM_THREADS: threads,
        MKL_NUM_THREADS: threads,
      },
    });
    // A peer without work must not keep this process alive, nor outlive it.
    child.unref();
    process.once("exit", () => child.kill());
    const failed = new Promise<string>((resolve) =>
      child.once("error", () => resolve('{"missing":"python"}')),
    );
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const first = await Promise.race([lines.next().then(({ value }) => value as string | undefined), failed]);
    return new PythonPeer(child, lines, (JSON.parse(first ?? "{}") as Answer).ready);
  }

  /** A contender for the case, or undefined where the peer is missing. */
  async contender(of: PeerCase): Promise<Contender | undefined> {
    if (this.version === undefined) return undefined;
    await this.#ask({ prepare: of });
    return async (calls) => {
      const { seconds } = await this.#ask({ run: calls });
      return seconds!;
    };
  }

  async #ask(question: object): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.#lines.next();
    const answer = done ? { error: "it ended" } : (JSON.parse(value) as Answer);
    if (answer.error !== undefined) throw new Error(`peer: ${JSON.stringify(question)}: ${answer.error}`);
    return answer;
  }
}

/** The interpreter with the peers' packages. */
function python(): string {
  const own = `${PEERS}venv/bin/python`;
  return process.env.OPENELM_BENCH_PYTHON ?? (existsSync(own) ? own : "python3");
}

const started = new Map<string, Promise<PythonPeer>>();

/** The one process of a peer. */
function peer(script: string): Promise<PythonPeer> {
  const found = started.get(script) ?? PythonPeer.start(`${SOURCES}peers/${script}`);
  started.set(script, found);
  return found;
}

export const torch = (): Promise<PythonPeer> => peer("torch_peer.py");
export const numpy = (): Promise<PythonPeer> => peer("numpy_peer.py");

/** Versions of the peers that were asked in this run. */
export async function peerVersions(): Promise<string[]> {
  const all = await Promise.all(started.values());
  return all.flatMap(({ version }) => version ?? []);
}
