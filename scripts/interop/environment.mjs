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
const LLAMA = "3.22.1";
/** Holds the vocabulary of Llama 1 and 2. */
const VOCABULARY = "llama-tokenizer-js@1.2.2";

/**
 * @typedef {object} Programs
 * @property {string} [python] - Has mlx-lm and gguf.
 * @property {string} [torch] - Has PyTorch; may be another.
 * @property {string} [llama] - node_modules with node-llama-cpp and the vocabulary of Llama.
 * @property {string[]} missing - What is not there, and why.
 */

/** Which programs each comparison needs. @type {Readonly<Record<string, readonly ("python" | "torch" | "llama")[]>>} */
const NEEDS = {
  mlx: ["python"],
  torch: ["torch"],
  gguf: ["python"],
  llama: ["llama"],
  tokens: ["python", "llama"],
};

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
    : await have("mlx-lm, gguf and tokenizers", () =>
        wheels("mlx_lm, gguf, sentencepiece, tokenizers", WHEELS),
      );
  const torch = needed.has("torch") ? await have("PyTorch", torchPython) : undefined;
  const llama = needed.has("llama") ? await have("llama.cpp", llamaPackages) : undefined;
  return { python, torch, llama, missing };
}

/** @param {string} modules @param {string[]} specs */
async function wheels(modules, specs) {
  const python = path.join(VENV, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (!existsSync(python)) await mustRun("python3", ["-m", "venv", VENV], { toStderr: true });
  if (output(python, ["-c", `import ${modules}`]) === undefined) {
    process.stderr.write(`Installing ${specs.join(", ")} …\n`);
    await mustRun(python, ["-m", "pip", "install", "--quiet", "--retries", "1", ...specs], {
      toStderr: true,
    });
  }
  return python;
}

/** An interpreter with PyTorch: the one that is named, else the private one. */
async function torchPython() {
  const named = process.env.OPENELM_INTEROP_TORCH;
  // pip's own settings say from where, such as PIP_EXTRA_INDEX_URL for the wheels without CUDA.
  if (named === undefined) return wheels("torch", [TORCH]);
  if (output(named, ["-c", "import torch"]) !== undefined) return named;
  throw new ScriptError(`OPENELM_INTEROP_TORCH names ${named}, which cannot import torch`);
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
