//! The package as a program of its own has it: plain JavaScript in a node_modules folder.
import { execFile, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { platformName } from "@openelm/native";

const require = createRequire(import.meta.url);
const execute = promisify(execFile);
const PACKAGES = join(dirname(fileURLToPath(import.meta.url)), "../..");
const ADDON = process.env.OPENELM_NATIVE_PATH ?? join(PACKAGES, "native", `openelm.${platformName()}.node`);

/** What a program did. */
export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** A folder in which programs can import `@openelm/tensor`. */
export class Installed {
  readonly folder = mkdtempSync(join(tmpdir(), "openelm-installed-"));

  static async create(): Promise<Installed> {
    const installed = new Installed();
    for (const name of ["native", "tensor"]) await installed.add(name, `node_modules/@openelm/${name}`);
    return installed;
  }

  /** Puts the package `name` at a place in the folder, compiled as it is published. */
  async add(name: string, place: string): Promise<void> {
    const [from, to] = [join(PACKAGES, name), join(this.folder, place)];
    mkdirSync(to, { recursive: true });
    cpSync(join(from, "package.json"), join(to, "package.json"));
    const plain = ["composite", "incremental", "declaration", "declarationMap", "sourceMap"];
    const options = [
      "--noCheck",
      "--tsBuildInfoFile",
      "null",
      ...plain.flatMap((flag) => [`--${flag}`, "false"]),
    ];
    const compiler = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
    await execute(process.execPath, [compiler, "-p", from, "--outDir", join(to, "dist"), ...options]);
  }

  /** Runs an ES module; `lib` of it is the package. */
  run(
    body: string,
    {
      args = [],
      env = {},
      timeout = 25_000,
    }: { args?: string[]; env?: NodeJS.ProcessEnv; timeout?: number } = {},
  ): Promise<Outcome> {
    const file = join(this.folder, `program-${Math.random().toString(36).slice(2)}.mjs`);
    writeFileSync(file, body);
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [...args, file], {
        cwd: this.folder,
        env: { ...process.env, OPENELM_NATIVE_PATH: ADDON, NODE_OPTIONS: "", ...env },
        timeout,
        killSignal: "SIGKILL",
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
      child.on("close", (code, signal) => resolve({ code, signal, output }));
    });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
