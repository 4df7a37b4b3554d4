// npm run test:interop [-- NAME… --small]: other programs load what we write, and ours loads what they write.
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { FOLDER, programs } from "./interop/environment.mjs";
import { Report } from "./interop/report.mjs";
import { build } from "./lib/build.mjs";
import { main, ScriptError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

const HELP = `npm run test:interop [-- NAME… --small]

Installs the programs into .interop and compares:
  mlx      mlx-lm loads our folders by strict names, ours loads its folders: the same logits
  torch    PyTorch's reference loads our files by strict names, ours loads what torch.save writes
  gguf     ggml's Python package reads our GGUF files, ours its blocks: the same numbers
  llama    llama.cpp goes on with the same tokens, and splits text into the same ids

Without names: all. --small leaves out the model of 270M.
OPENELM_INTEROP_TORCH names an interpreter that has PyTorch already.
A program that cannot be installed is named, and the exit code is 1.`;

const NAMES = ["mlx", "torch", "gguf", "llama"];

await main(async () => {
  const args = process.argv.slice(2);
  const names = args.filter((arg) => NAMES.includes(arg));
  const options = args.filter((arg) => !NAMES.includes(arg));
  if (options.some((arg) => arg !== "--small")) {
    process.stdout.write(`${HELP}\n`);
    return options.includes("--help") ? 0 : 2;
  }
  await setup();
  await build();
  // Packages that the build has just made.
  const checks = await import("./interop/checks.mjs");
  const { python, torch, llama, missing } = await programs();
  const wanted = names.length > 0 ? names : NAMES;
  const report = new Report();
  const folder = path.join(FOLDER, "work");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const place = { folder, report };
  if (wanted.includes("mlx") && python) await checks.mlx(python, place);
  if (wanted.includes("torch") && torch) await checks.torch(torch, place);
  if (wanted.includes("gguf") && python) await checks.gguf(python, place);
  const large = !options.includes("--small");
  if (wanted.includes("llama") && llama) await checks.llama(llama, place, { large });
  await rm(folder, { recursive: true, force: true });
  for (const what of missing) process.stderr.write(`missing  ${what}\n`);
  process.stdout.write(
    `${report.checked} checked, ${report.failed} failed, ${missing.length} programs missing\n`,
  );
  if (report.checked === 0 && missing.length === 0) throw new ScriptError("nothing was checked");
  return report.failed + missing.length > 0 ? 1 : 0;
});
