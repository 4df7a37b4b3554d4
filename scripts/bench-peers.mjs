// npm run bench:peers [-- NAME…]: installs what the benchmarks compare ours with into benchmarks/.peers.
import { copyFileSync, cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { main, mustRun, npm, ROOT, ScriptError } from "./lib/run.mjs";

const HELP = `npm run bench:peers [-- NAME…]

  napi-class   a napi-rs class (Rust)
  node-api     plain Node-API (C)
  nan          a node-gyp + nan addon (C++)
  python       PyTorch and NumPy in a virtual environment; several gigabytes, only when named

Without names: the first three. OPENELM_BENCH_PYTHON names an interpreter that has PyTorch and NumPy already.`;

const SOURCES = path.join(ROOT, "benchmarks/bindings");
const PEERS = path.join(ROOT, "benchmarks/.peers");

/** @type {Record<string, () => Promise<void>>} */
const INSTALL = {
  "napi-class": async () => {
    const manifest = path.join(SOURCES, "napi-class/Cargo.toml");
    const target = path.join(PEERS, "target");
    await mustRun("cargo", ["build", "--release", "--locked", "--manifest-path", manifest], {
      env: { CARGO_TARGET_DIR: target },
      toStderr: true,
    });
    const library = { win32: "napi_class.dll", darwin: "libnapi_class.dylib" };
    const built = library[/** @type {keyof typeof library} */ (process.platform)] ?? "libnapi_class.so";
    copyFileSync(path.join(target, "release", built), path.join(PEERS, "napi-class.node"));
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
  python: async () => {
    const venv = path.join(PEERS, "venv");
    if (!existsSync(venv)) await mustRun("python3", ["-m", "venv", venv]);
    await mustRun(path.join(venv, "bin/python"), ["-m", "pip", "install", "torch==2.15.0", "numpy==2.4.6"]);
  },
};

await main(async () => {
  const args = process.argv.slice(2);
  const unknown = args.filter((arg) => !(arg in INSTALL));
  if (unknown.length > 0) {
    process.stderr.write(`${HELP}\n`);
    return args.includes("--help") ? 0 : 2;
  }
  mkdirSync(PEERS, { recursive: true });
  const names = args.length > 0 ? args : Object.keys(INSTALL).filter((name) => name !== "python");
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

/** Installs packages of npm beside each other, apart from those of the repository. @param {string[]} specs */
async function packages(...specs) {
  const manifest = path.join(PEERS, "package.json");
  if (!existsSync(manifest)) writeFileSync(manifest, '{ "private": true }\n');
  const args = ["install", "--prefix", PEERS, "--no-audit", "--no-fund", ...specs];
  await mustRun(...npm(args), { cwd: PEERS, quiet: true });
}
