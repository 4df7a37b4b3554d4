// npm run test:interop [-- NAME… --small]: other programs load what we write, and ours loads what they write.
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { FOLDER, programs } from "./interop/environment.mjs";
import { Report } from "./interop/report.mjs";
import { build } from "./lib/build.mjs";
import { main, ScriptError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

const HELP = `npm run test:interop [-- NAME… --small]

Installs the programs into .interop and compares:
  mlx      mlx-lm loads our folders by strict names and our adapters, ours what mlx_lm.convert, mlx_lm.lora and
           mlx_lm.fuse write: the same logits
  torch    PyTorch's reference loads our files by strict names, ours loads what torch.save writes
  peft     PEFT loads our adapters beside PyTorch's reference, ours loads what PEFT saves: the same logits
  gguf     ggml's Python package reads our GGUF files, ours its blocks: the same numbers
  llama    llama.cpp goes on with the same tokens, and splits text into the same ids
  tokens   SentencePiece and Hugging Face's tokenizers split random texts into the same ids, and put ids together again

Without names: all. --small leaves out the model of 270M and some encodings. --strings N: random texts of tokens (2000; 100000 are read in
some minutes). --tolerant: a program that cannot be installed is no failure.
OPENELM_INTEROP_TORCH names an interpreter that has PyTorch, and for peft PEFT, already.
A program that cannot be installed is named, and the exit code is 1.`;

const NAMES = ["mlx", "torch", "peft", "gguf", "llama", "tokens"];

await main(async () => {
  const { values, positionals: names } = parse();
  const strings = Number(values.strings);
  const isWrong =
    names.some((name) => !NAMES.includes(name)) || !Number.isSafeInteger(strings) || strings < 1;
  if (values.help || isWrong) {
    process.stdout.write(`${HELP}\n`);
    return values.help ? 0 : 2;
  }
  await setup();
  await build();
  // Packages that the build has just made.
  const checks = await import("./interop/checks.mjs");
  const wanted = names.length > 0 ? names : NAMES;
  const { python, torch, peft, llama, missing } = await programs(wanted);
  const report = new Report();
  const folder = path.join(FOLDER, "work");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const place = { folder, report };
  const large = !values.small;
  if (wanted.includes("mlx") && python) {
    await checks.mlx(python, place, { large });
    const { mlxAdapters } = await import("./interop/mlx-adapters.mjs");
    await mlxAdapters(python, place, { large });
  }
  if (wanted.includes("torch") && torch) await checks.torch(torch, place);
  if (wanted.includes("peft") && peft) {
    const checks = await import("./interop/peft.mjs");
    await checks.peft(peft, place);
  }
  if (wanted.includes("gguf") && python) await checks.gguf(python, place);
  if (wanted.includes("llama") && llama) await checks.llama(llama, place, { large });
  if (wanted.includes("tokens") && python) {
    const { tokenizers } = await import("./interop/tokenizers.mjs");
    await tokenizers(python, llama, place, strings);
  }
  await rm(folder, { recursive: true, force: true });
  for (const what of missing) process.stderr.write(`missing  ${what}\n`);
  process.stdout.write(
    `${report.checked} checked, ${report.failed} failed, ${missing.length} programs missing\n`,
  );
  if (report.checked === 0 && missing.length === 0) throw new ScriptError("nothing was checked");
  return report.failed > 0 || (missing.length > 0 && !values.tolerant) ? 1 : 0;
});

function parse() {
  const options = /** @type {const} */ ({
    small: { type: "boolean" },
    tolerant: { type: "boolean" },
    strings: { type: "string", default: "2000" },
    help: { type: "boolean" },
  });
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    throw new ScriptError(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}
