// The compiler of CUDA kernels: found where CUDA 13 is installed, else fetched as Python wheels into a private folder.
import { existsSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { mustRun, NATIVE, output, ScriptError } from "./run.mjs";
import { seconds } from "./steps.mjs";

const FOLDER = path.join(NATIVE, ".cuda");

/**
 * The compiler and what it includes. All pinned to one release: pip would mix them, and a later compiler writes code
 * that drivers of CUDA 13.0 refuse.
 */
const WHEELS = [
  "nvidia-cuda-nvcc==13.0.88",
  "nvidia-nvvm==13.0.88",
  "nvidia-cuda-crt==13.0.88",
  "nvidia-cuda-runtime==13.0.96",
  "nvidia-cuda-cccl==13.0.85",
  // Its header alone: ranges for profilers.
  "nvidia-nvtx==13.0.85",
];

/** The nvcc that a build would use, or undefined. */
export function nvcc() {
  const { OPENELM_NVCC, CUDA_HOME, PATH = "" } = process.env;
  const name = process.platform === "win32" ? "nvcc.exe" : "nvcc";
  const candidates = [
    ...(OPENELM_NVCC ? [OPENELM_NVCC] : []),
    ...(CUDA_HOME ? [path.join(CUDA_HOME, "bin", name)] : []),
    ...PATH.split(path.delimiter).map((folder) => path.join(folder, name)),
    ...wheels(name),
  ];
  return candidates.find(
    (file) => existsSync(file) && output(file, ["--version"])?.includes("release 13.") === true,
  );
}

/** @param {string} name */
function wheels(name) {
  const lib = path.join(FOLDER, "lib");
  const pythons = existsSync(lib) ? readdirSync(lib) : [];
  return pythons.map((python) => path.join(lib, python, "site-packages/nvidia/cu13/bin", name));
}

/** Fetches the compiler, unless one is there. */
export async function setupCuda() {
  const found = nvcc();
  if (found) {
    process.stderr.write(`nvcc is there: ${found}\n`);
    return;
  }
  if (process.platform !== "linux" || os.arch() !== "x64") {
    throw new ScriptError("the compiler is fetched on Linux x64 only; install CUDA 13 and set CUDA_HOME");
  }
  const python = ["python3", "python"].find(
    (program) => output(program, ["-c", "import venv, ensurepip"]) !== undefined,
  );
  if (!python) {
    throw new ScriptError(
      "python3 with venv is needed to fetch the compiler\n  Cure: sudo apt-get install python3-venv, or install CUDA 13 and set CUDA_HOME",
    );
  }
  process.stderr.write("Fetching the CUDA compiler (about 100 MB) …\n");
  const since = Date.now();
  try {
    await mustRun(python, ["-m", "venv", FOLDER], { quiet: true });
    const pip = path.join(FOLDER, "bin/pip");
    await mustRun(pip, ["install", "--quiet", "--disable-pip-version-check", ...WHEELS], { quiet: true });
  } catch (error) {
    // Half a folder would look like a compiler.
    rmSync(FOLDER, { recursive: true, force: true });
    throw error;
  }
  process.stderr.write(`Fetched it in ${seconds(Date.now() - since)}: ${nvcc()}\n`);
}
