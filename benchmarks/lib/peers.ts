import { existsSync } from "node:fs";
import { device } from "@openelm/tensor";
import { type Launch, Peer, type PeerCase } from "./peer.js";
import { PEERS, SOURCES } from "./places.js";
import type { Contender } from "./turns.js";

interface Program {
  readonly launch: () => Launch;
  readonly options?: object;
}

/** Other programs that ours is compared with: how each is started, and what its cases are told beside their sizes. */
const PROGRAMS = {
  torch: { launch: () => python("torch_peer.py", true) },
  "torch compile": { launch: () => python("torch_peer.py", true), options: { compile: true } },
  numpy: { launch: () => python("numpy_peer.py", true) },
  mkl: { launch: () => python("mkl_peer.py") },
  mlx: { launch: () => python("mlx_peer.py") },
  gemm: { launch: () => ({ program: `${PEERS}gemm-peer`, args: ["gemm"] }) },
  faer: { launch: () => ({ program: `${PEERS}gemm-peer`, args: ["faer"] }) },
  "C + OpenBLAS": { launch: () => ({ program: `${PEERS}mlp-c`, args: [] }) },
  "llama.cpp": { launch: () => node("llama_peer.mjs") },
  tfjs: { launch: () => node("tfjs_peer.mjs") },
  "jax-js": { launch: () => node("jax_peer.mjs") },
  onnxruntime: { launch: () => node("onnxruntime_peer.mjs") },
  "mni-ml": { launch: () => node("mni_peer.mjs") },
  "node-mlx": { launch: () => node("node_mlx_peer.mjs") },
} as const satisfies Record<string, Program>;

export type PeerName = keyof typeof PROGRAMS;

/** Cases of one measurement, by the peers that have it. */
export type PeerCases = Readonly<Partial<Record<PeerName, PeerCase>>>;

/** A program of `peers/` in Python; those `anywhere` may also run in the interpreter that the user names. */
export function python(script: string, anywhere = false): Launch {
  const own = `${PEERS}venv/bin/python`;
  const named = anywhere ? process.env.OPENELM_BENCH_PYTHON : undefined;
  return { program: named ?? (existsSync(own) ? own : "python3"), args: ["-u", `${SOURCES}peers/${script}`] };
}

const node = (script: string): Launch => ({
  program: process.execPath,
  args: [`${SOURCES}peers/${script}`],
});

const started = new Map<PeerName, Promise<Peer>>();

function start(name: PeerName): Promise<Peer> {
  const found = started.get(name) ?? Peer.start(PROGRAMS[name].launch(), device("cpu").stats().threads);
  started.set(name, found);
  return found;
}

/** Peers that could not do what they were asked, with their own words. */
export const failures: string[] = [];

/**
 * Notes that a peer failed: its number is then missing, and the run goes on without it.
 *
 * @param error - What it said.
 */
export function noteFailure(name: string, error: unknown): void {
  const text = `${name}: ${error instanceof Error ? error.message : error}`;
  failures.push(text);
  console.error(`peer ${text}`);
}

/** The peer's contender for a case; undefined where it is not installed, cannot do it, or ours runs alone. */
export async function contenderOf(name: PeerName, of: PeerCase): Promise<Contender | undefined> {
  if (process.env.OPENELM_BENCH_ALONE) return undefined;
  const { options }: Program = PROGRAMS[name];
  try {
    return await (await start(name)).contender({ ...options, ...of });
  } catch (error) {
    noteFailure(name, error);
    return undefined;
  }
}

/** Bytes that the device of a peer that takes part held at most. */
export const peakOf = async (name: PeerName): Promise<number | undefined> =>
  (await started.get(name))?.peak();

/** The process of a peer that takes part. */
export const pidOf = async (name: PeerName): Promise<number | undefined> => (await started.get(name))?.pid;

/** Versions of the peers that were asked in this run. */
export async function peerVersions(): Promise<string[]> {
  const all = await Promise.all(started.values());
  return [...new Set(all.flatMap(({ version }) => version ?? []))];
}

/** Ends all peers; without it their pipes keep this process alive. */
export async function closePeers(): Promise<void> {
  const all = [...started.values()];
  started.clear();
  await Promise.all(all.map(async (peer) => (await peer).close()));
}
