// The other programs, in a folder of their own: wheels of Python and packages of Node.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { mustRun, npm, output, ROOT, ScriptError } from "../lib/run.mjs";

/** Where they are; git ignores it. */
export const FOLDER = path.join(ROOT, ".interop");

const VENV = path.join(FOLDER, "venv");
const WHEELS = [
  "mlx[cpu]==0.32.4",
  "mlx-lm==0.32.2",
  "gguf==0.19.0",
  "numpy==2.4.6",
  "sentencepiece==0.2.3",
  "tokenizers==0.23.3",
];
const TORCH = "torch==2.15.0";
const PEFT = "peft==0.21.2";
/** Of node-llama-cpp. */
const LLAMA = "3.22.1";
/** Holds the vocabulary of Llama 1 and 2. */
const VOCABULARY = "llama-tokenizer-js@1.2.2";

/**
 * @typedef {object} Programs
 * @property {string} [python] - Has mlx-lm and gguf.
 * @property {string} [torch] - Has PyTorch; may be another.
 * @property {string} [peft] - Has PEFT too.
 * @property {string} [llama] - node_modules with node-llama-cpp and the vocabulary of Llama.
 * @property {string[]} missing - What is not there, and why.
 */

/** Which programs each comparison needs. @type {Readonly<Record<string, readonly ("python" | "torch" | "peft" | "llama")[]>>} */
const NEEDS = {
  mlx: ["python"],
  torch: ["torch"],
  peft: ["peft"],
  gguf: ["python"],
  llama: ["llama"],
  tokens: ["python", "llama"],
};

/** Versions that are installed, by the names of packages. @type {ReadonlyMap<string, string>} */
export const VERSIONS = new Map([
  ...[...WHEELS, TORCH, PEFT].map((spec) => {
    const [name = "", version = ""] = spec.split("==");
    return /** @type {const} */ ([name.replace(/\[.*/, ""), version]);
  }),
  ["node-llama-cpp", LLAMA],
]);

/** Installs what the comparisons need and says what could not be had. @param {readonly string[]} names @returns {Promise<Programs>} */
export async function programs(names) {
  const needed = new Set(names.flatMap((name) => NEEDS[name] ?? []));
  mkdirSync(FOLDER, { recursive: true });
  /** @type {string[]} */
  const missing = [];
  /** @param {string} what @param {() => Promise<string>} install */
  const have = async (what, install) => {
    try {
      return await install();
    } catch (error) {
      if (!(error instanceof ScriptError)) throw error;
      missing.push(`${what}: ${error.message}`);
      return undefined;
    }
  };
  const python = !needed.has("python")
    ? undefined
    : await have("mlx-lm, gguf and tokenizers", () => wheels(WHEELS));
  const torch = needed.has("torch")
    ? await have("PyTorch", () => torchPython("import torch", [TORCH]))
    : undefined;
  const peft = needed.has("peft")
    ? await have("PEFT", () => torchPython("import torch, peft", [TORCH, PEFT]))
    : undefined;
  const llama = needed.has("llama") ? await have("llama.cpp", llamaPackages) : undefined;
  return { python, torch, peft, llama, missing };
}

/** Asks for versions alone: to import PyTorch takes seconds. */
const HAS_VERSIONS = `
import sys
from importlib.metadata import version
sys.exit(any(version(spec.split("==")[0].split("[")[0]) != spec.split("==")[1] for spec in sys.argv[1:]))`;

/** The private interpreter with these wheels. @param {string[]} specs */
async function wheels(specs) {
  const python = path.join(VENV, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (!existsSync(python)) await mustRun("python3", ["-m", "venv", VENV], { toStderr: true });
  if (output(python, ["-c", HAS_VERSIONS, ...specs]) === undefined) {
    process.stderr.write(`Installing ${specs.join(", ")} …\n`);
    await mustRun(python, ["-m", "pip", "install", "--quiet", "--retries", "1", ...specs], {
      toStderr: true,
    });
  }
  return python;
}

/** An interpreter with PyTorch: the one that is named, else the private one. @param {string} program @param {string[]} specs */
async function torchPython(program, specs) {
  const named = process.env.OPENELM_INTEROP_TORCH;
  // pip's own settings say from where, such as PIP_EXTRA_INDEX_URL for the wheels without CUDA.
  if (named === undefined) return wheels(specs);
  if (output(named, ["-c", program]) !== undefined) return named;
  throw new ScriptError(`OPENELM_INTEROP_TORCH names ${named}, where "${program}" fails`);
}

async function llamaPackages() {
  const folder = path.join(FOLDER, "node");
  const modules = path.join(folder, "node_modules");
  const binary = `@node-llama-cpp/${process.platform}-${process.arch}`.replace("darwin", "mac");
  const isThere = [binary, "llama-tokenizer-js"].every((name) => existsSync(path.join(modules, name)));
  if (!isThere) {
    process.stderr.write(`Installing node-llama-cpp ${LLAMA} …\n`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, "package.json"), '{"private": true}\n');
    const specs = [`node-llama-cpp@${LLAMA}`, `${binary}@${LLAMA}`, VOCABULARY];
    // Its install script would compile llama.cpp, which the second package has compiled.
    await mustRun(
      ...npm([
        "install",
        "--prefix",
        folder,
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--fetch-retries=1",
        ...specs,
      ]),
      {
        quiet: true,
      },
    );
  }
  return modules;
}
