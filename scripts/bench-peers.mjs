// npm run bench:peers [-- NAME…]: installs what the benchmarks compare ours with into benchmarks/.peers.
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { main, mustRun, npm, output, ROOT, ScriptError } from "./lib/run.mjs";

const HELP = `npm run bench:peers [-- NAME…]

Addons that make the same call:
  napi-class    a napi-rs class (Rust)
  node-api      plain Node-API (C)
  nan           a node-gyp + nan addon (C++)

Libraries:
  gemm          the crates gemm and faer (Rust); compiles for some minutes
  mkl           Intel's MKL
  mlx           MLX on the CPU
  mlp-c         a training step in plain C with OpenBLAS
  llama         llama.cpp, as node-llama-cpp has it compiled
  tfjs          TensorFlow.js with its WebAssembly backend
  jax           jax-js
  onnxruntime   ONNX Runtime
  mni-ml        mni-ml's native part
  node-mlx      node-mlx; fetches its binary from GitHub
  torch         PyTorch; several gigabytes, only when named

Without names: all but torch. OPENELM_BENCH_PYTHON names an interpreter that has PyTorch and NumPy already.
One that cannot be installed is reported as missing by the benchmarks.

Examples:
  npm run bench:peers
  npm run bench:peers -- torch llama`;

const SOURCES = path.join(ROOT, "benchmarks/bindings");
const PROGRAMS = path.join(ROOT, "benchmarks/peers");
const PEERS = path.join(ROOT, "benchmarks/.peers");

/** @type {Record<string, () => Promise<void>>} */
const INSTALL = {
  "napi-class": async () => {
    const target = await crate(path.join(SOURCES, "napi-class"));
    const library = { win32: "napi_class.dll", darwin: "libnapi_class.dylib" };
    const built = library[/** @type {keyof typeof library} */ (process.platform)] ?? "libnapi_class.so";
    copyFileSync(path.join(target, built), path.join(PEERS, "napi-class.node"));
  },
  "node-api": async () => {
    await packages("node-api-headers@1.9.0");
    // On macOS the symbols of Node are found when the addon is loaded only if the linker is told so.
    const late = process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : [];
    const headers = path.join(PEERS, "node_modules/node-api-headers/include");
    const source = path.join(SOURCES, "node-api/floats.c");
    const out = path.join(PEERS, "node-api.node");
    await mustRun("cc", ["-O2", "-shared", "-fPIC", ...late, "-I", headers, source, "-o", out]);
  },
  nan: async () => {
    // V8's headers come from npm, in the version that runs: node-gyp would ask the Node download site for them.
    const node = `node-${process.platform}-${process.arch}`;
    await packages("node-gyp@12.4.0", "nan@2.30.0", `${node}@${process.versions.node}`);
    cpSync(path.join(SOURCES, "nan"), path.join(PEERS, "nan"), { recursive: true });
    const gyp = path.join(PEERS, "node_modules/node-gyp/bin/node-gyp.js");
    await mustRun(process.execPath, [gyp, "rebuild", "-C", path.join(PEERS, "nan")], {
      env: { OPENELM_BENCH_PEERS: PEERS, npm_config_nodedir: path.join(PEERS, "node_modules", node) },
      quiet: true,
    });
  },
  gemm: async () => {
    const target = await crate(path.join(PROGRAMS, "gemm-peer"));
    copyFileSync(path.join(target, "gemm-peer"), path.join(PEERS, "gemm-peer"));
  },
  mkl: () => wheels("numpy==2.4.6", "mkl==2026.2.0"),
  mlx: () => wheels("mlx[cpu]==0.32.4"),
  "mlp-c": async () => {
    const source = path.join(PROGRAMS, "mlp-c/mlp.c");
    const define = `-DOPENBLAS="${await openblas()}"`;
    const options = ["-O3", "-march=native", "-fno-math-errno", "-std=gnu11", define];
    await mustRun("cc", [...options, source, "-o", path.join(PEERS, "mlp-c"), "-ldl", "-lm"]);
  },
  llama: async () => {
    // Its install script would compile llama.cpp where the binaries, which are packages of their own, are not there.
    await packages("node-llama-cpp@3.22.1", `@node-llama-cpp/${process.platform}-${process.arch}@3.22.1`);
    await wheels("numpy==2.4.6", "gguf==0.19.0");
  },
  tfjs: () => packages("@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0"),
  jax: () => packages("@jax-js/jax@0.1.25"),
  onnxruntime: () => packages("onnxruntime-node@1.30.0"),
  "mni-ml": () => packages("@mni-ml/framework-linux-x64-gnu@0.3.5"),
  "node-mlx": async () => {
    const folder = path.join(PEERS, "node-mlx");
    mkdirSync(folder, { recursive: true });
    await install(folder, ["@frost-beta/mlx@0.0.7"]);
  },
  torch: () => wheels("torch==2.15.0", "numpy==2.4.6"),
};

/** Too large to be had without being asked for. */
const NAMED_ONLY = ["torch"];

await main(async () => {
  const args = process.argv.slice(2);
  const unknown = args.filter((arg) => !(arg in INSTALL));
  if (unknown.length > 0) {
    process.stderr.write(`${HELP}\n`);
    return args.includes("--help") ? 0 : 2;
  }
  mkdirSync(PEERS, { recursive: true });
  const names = args.length > 0 ? args : Object.keys(INSTALL).filter((name) => !NAMED_ONLY.includes(name));
  let failed = 0;
  for (const name of names) {
    // One that cannot be had here is no reason to go without the others.
    try {
      await INSTALL[name]?.();
      process.stderr.write(`${name}: installed\n`);
    } catch (error) {
      if (!(error instanceof ScriptError)) throw error;
      failed++;
      process.stderr.write(`${name}: not installed: ${error.message}\n`);
    }
  }
  return failed > 0 ? 1 : 0;
});

/**
 * Installs packages of npm beside each other, apart from those of the repository. Their scripts do not run: all that
 * is needed is in the packages, and optional ones are for other platforms and devices.
 *
 * @param {string[]} specs
 */
function packages(...specs) {
  return install(PEERS, ["--ignore-scripts", "--omit=optional", ...specs]);
}

/** @param {string} folder @param {string[]} args */
async function install(folder, args) {
  const manifest = path.join(folder, "package.json");
  if (!existsSync(manifest)) writeFileSync(manifest, '{ "private": true }\n');
  const options = ["install", "--prefix", folder, "--no-audit", "--no-fund"];
  await mustRun(...npm([...options, ...args]), { cwd: folder, quiet: true });
}

/** Installs wheels into the one virtual environment. @param {string[]} specs */
async function wheels(...specs) {
  const venv = path.join(PEERS, "venv");
  if (!existsSync(venv)) await mustRun("python3", ["-m", "venv", venv]);
  await mustRun(path.join(venv, "bin/python"), ["-m", "pip", "install", "--quiet", ...specs], {
    toStderr: true,
  });
}

/** Builds a crate that is no part of the workspace, and gives the folder of what it built. @param {string} folder */
async function crate(folder) {
  const target = path.join(PEERS, "target");
  const args = ["build", "--release", "--locked", "--manifest-path", path.join(folder, "Cargo.toml")];
  await mustRun("cargo", args, { env: { CARGO_TARGET_DIR: target }, toStderr: true });
  return path.join(target, "release");
}

/** OpenBLAS of the system, or the one that NumPy's wheel brings. */
async function openblas() {
  const ofSystem = output("cc", ["-print-file-name=libopenblas.so"]);
  if (ofSystem && path.isAbsolute(ofSystem)) return ofSystem;
  await wheels("numpy==2.4.6");
  const where = "import numpy; print(numpy.__file__)";
  const numpy = output(path.join(PEERS, "venv/bin/python"), ["-c", where]);
  const libraries = path.join(path.dirname(numpy ?? ""), "../numpy.libs");
  const found = existsSync(libraries)
    ? readdirSync(libraries).find((name) => /openblas/.test(name))
    : undefined;
  if (!found) throw new ScriptError("neither the system nor NumPy has OpenBLAS");
  return path.join(libraries, found);
}
