//! The driver made for tests (cuda-driver.c), with which a process finds GPUs that are none.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What the driver says and does: the variables in the head of its source, without `DRIVER_`. */
export type DriverOptions = Readonly<Record<string, number>>;

/**
 * A driver of CUDA that a C compiler makes here, in a folder of its own: a process with its environment finds GPUs on a
 * machine that has none. They add f32 numbers and copy; every other kernel is refused. For Linux.
 *
 * @example
 * const driver = new CudaDriver();
 * spawnSync(process.execPath, ["program.mjs"], { env: { ...process.env, ...driver.env({ DEVICES: 2 }) } });
 * driver.remove();
 */
export class CudaDriver {
  readonly #folder = mkdtempSync(join(tmpdir(), "openelm-driver-"));

  constructor() {
    const source = fileURLToPath(new URL("../src/cuda-driver.c", import.meta.url));
    execFileSync("cc", ["-O2", "-shared", "-fPIC", "-w", "-o", join(this.#folder, "libcuda.so.1"), source]);
  }

  /** The environment of a process that finds it. */
  env(options: DriverOptions = {}): NodeJS.ProcessEnv {
    const own = Object.entries(options).map(([name, value]) => [`DRIVER_${name}`, String(value)]);
    return { LD_LIBRARY_PATH: this.#folder, OPENELM_DEVICE: "cpu", ...Object.fromEntries(own) };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
