// npm run smoke: packs what would be published, installs it into an empty folder, and loads it there by import and
// by require. Run after a build; prebuilt binaries below packages/native/npm are packed too.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { main, mustRun, npm, ROOT, readJson, ScriptError } from "./lib/run.mjs";

await main(async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "openelm-smoke-"));
  try {
    const tarballs = path.join(folder, "tarballs");
    const consumer = path.join(folder, "consumer");
    mkdirSync(tarballs);
    mkdirSync(consumer);
    const packages = readdirSync(path.join(ROOT, "packages"))
      .map((name) => `packages/${name}`)
      .filter(
        (place) =>
          existsSync(path.join(ROOT, place, "package.json")) && !readJson(`${place}/package.json`).private,
      );
    const binaries = prebuilt();
    for (const place of [...packages, ...binaries]) {
      await mustRun(...npm(["pack", "--silent", "--pack-destination", tarballs]), {
        cwd: path.join(ROOT, place),
        quiet: true,
      });
    }
    const [names, native] = [packages, binaries].map((places) =>
      places.map((place) => readJson(`${place}/package.json`).name),
    );
    await install(
      consumer,
      readdirSync(tarballs).map((file) => path.join(tarballs, file)),
    );
    await load(
      consumer,
      "smoke.mjs",
      names.map((name) => `await import(${JSON.stringify(name)});`),
    );
    await load(
      consumer,
      "smoke.cjs",
      [...native, ...names].map((name) => `require(${JSON.stringify(name)});`),
    );
    process.stdout.write(
      `${names.length} packages and ${native.length} prebuilt binaries install and load\n`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** The folder of this platform's prebuilt binary, if a release has put one there. */
function prebuilt() {
  const { napi, name } = readJson("packages/native/package.json");
  const root = "packages/native/npm";
  if (!existsSync(path.join(ROOT, root))) return [];
  const here = readdirSync(path.join(ROOT, root)).filter((platform) =>
    platform.startsWith(`${process.platform}-${process.arch}`),
  );
  const missing = here.filter(
    (platform) => !existsSync(path.join(ROOT, root, platform, `${napi.binaryName}.${platform}.node`)),
  );
  if (here.length === 0 || missing.length > 0)
    throw new ScriptError(`${root} holds no binary of ${name} for this platform`);
  return here.map((platform) => `${root}/${platform}`);
}

/** @param {string} folder @param {string[]} tarballs */
async function install(folder, tarballs) {
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true }));
  await mustRun(...npm(["install", "--no-audit", "--no-fund", ...tarballs]), { cwd: folder, quiet: true });
}

/** @param {string} folder @param {string} file @param {string[]} lines */
async function load(folder, file, lines) {
  writeFileSync(path.join(folder, file), `${lines.join("\n")}\n`);
  await mustRun(process.execPath, [file], { cwd: folder });
}
