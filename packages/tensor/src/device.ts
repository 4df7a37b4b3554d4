import { DeviceError } from "@openelm/native";
import { type Captured, type CaptureOptions, capture } from "./capture.js";
import { arena, core, finishRead } from "./core.js";
import type { Synchronous } from "./scope.js";
import type { TuneOptions, Tuning, TuningTable } from "./tuning.js";

const META_ID = 0xffff_ffff;
const NOTHING = new Uint8Array(0);
/** Milliseconds between two looks at how far tuning is. */
const PROGRESS_EVERY = 100;

/** Bytes on a device. */
export interface MemoryStats {
  /** In tensors now. */
  readonly current: number;
  /** The most that was ever in tensors. */
  readonly peak: number;
  /** Kept for reuse. */
  readonly cached: number;
  /** What the allocator will not pass. */
  readonly limit: number;
}

/** How busy a device is. */
export interface DeviceStats {
  /** Commands that wait or run. */
  readonly pending: number;
  /** Calls that had to block because the queue was full. */
  readonly stalls: number;
  /** Threads that share one kernel (CPU). */
  readonly threads: number;
}

/** A place where ops run, in the order of the calls and apart from the JavaScript thread. */
export class Device {
  readonly name: string;
  /** @internal */
  readonly id: number;

  /** @internal */
  constructor(name: string, id: number) {
    this.name = name;
    this.id = id;
  }

  #check(): void {
    if (this.id === META_ID) throw new DeviceError("DEVICE_UNAVAILABLE", 'device "meta" computes nothing');
  }

  /** Resolves when all calls made so far have run; rejects once with the first error among them. */
  async synchronize(): Promise<void> {
    if (this.id !== META_ID) await finishRead(core.fence(this.id, true), NOTHING);
  }

  /** The same, blocking. For scripts and benchmarks. */
  synchronizeSync(): void {
    if (this.id !== META_ID) core.synchronizeSync(this.id);
  }

  /**
   * Resolves when at most `pending` calls wait, so that a loop need not block in a full queue.
   *
   * It never rejects: calls that failed reject the reads of what they should have made, whoever made them.
   */
  async ready({ pending = 1024 }: { pending?: number } = {}): Promise<void> {
    while (this.stats().pending > pending) await finishRead(core.fence(this.id, false), NOTHING);
  }

  /**
   * A function that records the calls of `fn` once and replays them as one command, which spares all that a call costs
   * beside its arithmetic.
   *
   * The first call with arguments of some shapes, dtypes and values runs `fn` as it is, so that lazy parameters and states
   * come to be; the second records, and from then on JavaScript runs no more: later calls copy the tensors among the
   * arguments into the recording, run it, and give fresh results. Other shapes, or another number, string or object among
   * the arguments, are recorded anew (at most 8 recordings live at a time).
   *
   * All other tensors that `fn` uses are captured: they stay in memory, ops that write do so in place, and later runs see
   * the values they have then. If one of them is freed, the next call runs `fn` as the first did, and the one after it
   * records. What changes from call to call must therefore be a tensor, an argument or captured; a number is recorded as it
   * is.
   *
   * Random numbers are drawn anew before each replay, as the calls would draw them. Inside a recording there are no values:
   * reading throws {@link CaptureError}, and so do draws that depend on values, tensors made from host values, writing to an
   * argument and tensors that outlive `fn` other than by its result. A gradient is taken inside `fn`, not of it.
   *
   * @throws DeviceError `DEVICE_UNAVAILABLE` on `"meta"`.
   * @example
   * ```ts
   * const weight = tensor([[1, 2], [3, 4]]);
   * using forward = device("cpu").capture((x: Tensor) => x.matmul(weight).add(1));
   * for (const row of [[1, 0], [0, 1], [1, 1]]) await forward(tensor([row])).array(); // [[2, 3]], [[4, 5]], [[5, 7]]
   * ```
   */
  capture<A extends readonly unknown[], R>(
    fn: (...args: A) => Synchronous<R>,
    options: CaptureOptions = {},
  ): Captured<A, R> {
    this.#check();
    return capture(this, fn, options);
  }

  /**
   * Runs `fn`, measures every product of matrices that is new in it, and keeps the fastest way of each in a table, by which
   * this and later processes compute it.
   *
   * A GPU's library knows several ways to compute a product, which differ in speed and in the order of their sums. Without
   * a table the first that the library proposes is taken, so results do not depend on chance; the same table gives the same
   * bits. It is kept for the device and the library's version in `OPENELM_CACHE`, by default `~/.cache/openelm`.
   *
   * Meanwhile nothing can be captured; recordings that were made before keep their ways.
   *
   * @param fn - What is to be fast: its products have the sizes, dtypes and strides that matter. Other work on this device
   * meanwhile is measured too.
   * @throws OpError `INVALID_ARGUMENT` on a device that has one way for each product, such as the CPU, or if it is being
   * tuned already; `FILE` if the table cannot be kept. CaptureError while calls are recorded.
   * @example
   * ```ts no-run
   * const { products, table } = await device("cuda").tune(() => x.matmul(weight));
   * console.log(products.map(({ size, first, best }) => `${size}: ${first} µs, now ${best} µs`), table.file);
   * ```
   * @see https://docs.nvidia.com/cuda/cublas/#cublasltmatmulalgogetheuristic
   */
  async tune(fn: () => unknown, { again = false, onProgress }: TuneOptions = {}): Promise<Tuning> {
    this.#check();
    core.tuneBegin(this.id, again);
    const look = onProgress && setInterval(() => onProgress(core.tunedSoFar(this.id)), PROGRESS_EVERY);
    let report: string;
    try {
      await fn();
      await this.synchronize();
    } finally {
      clearInterval(look);
      report = core.tuneEnd(this.id);
    }
    return JSON.parse(report) as Tuning;
  }

  /** The table by which products of matrices are computed here; undefined on a device that has one way for each. */
  tuningTable(): TuningTable | undefined {
    this.#check();
    return (JSON.parse(core.tuningTable(this.id)) as TuningTable | null) ?? undefined;
  }

  memory(): MemoryStats {
    this.#check();
    core.deviceStats(this.id);
    const [current, peak, cached, limit] = arena;
    return { current: current!, peak: peak!, cached: cached!, limit: limit! };
  }

  stats(): DeviceStats {
    this.#check();
    core.deviceStats(this.id);
    return { pending: arena[4]!, stalls: arena[5]!, threads: arena[6]! };
  }

  /** Gives cached memory back to the system; waits for the device. */
  trim(): void {
    this.#check();
    core.trim(this.id);
  }

  /** How many threads share one kernel. Results do not depend on it. */
  setThreads(threads: number): void {
    this.#check();
    if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
      throw new RangeError(`setThreads: threads must be a whole number of 1 to 1024, got ${threads}`);
    }
    core.setThreads(this.id, threads);
  }

  toString(): string {
    return this.name;
  }
  toJSON(): string {
    return this.name;
  }
}

/** A device or its name: `"cpu"`, `"cuda"` (a GPU; the second is `"cuda:1"`), `"meta"` (shapes without values). */
export type DeviceLike = Device | string;

const CPU = new Device("cpu", 0);
const META = new Device("meta", META_ID);
let all: readonly Device[] | undefined;

/** The devices of this machine; the first is the CPU. Looking for the others starts their drivers. */
export function devices(): readonly Device[] {
  all ??= (JSON.parse(core.devices()) as string[]).map((name, id) => (id === 0 ? CPU : new Device(name, id)));
  return all;
}

/**
 * The device of a name.
 *
 * @throws DeviceError `DEVICE_UNAVAILABLE` naming those that exist, and what keeps a GPU from being one.
 */
export function device(like: DeviceLike): Device {
  if (like instanceof Device) return like;
  if (like === "cpu") return CPU;
  if (like === "meta") return META;
  return deviceOfId(core.findDevice(like));
}

/** What was found of CUDA on this machine. */
export interface CudaProbe {
  /** Names of the devices. */
  readonly devices: readonly string[];
  /** The version of CUDA that the driver speaks; null without a driver. */
  readonly driver: string | null;
  /** Why there is no device; null if there is one. */
  readonly missing: string | null;
}

/** Looks for NVIDIA's driver and its devices, and says what is missing. */
export const cudaProbe = (): CudaProbe => JSON.parse(core.cuda()) as CudaProbe;

/** @internal */
export const deviceOfId = (id: number): Device => (id === 0 ? CPU : (devices()[id] ?? META));
