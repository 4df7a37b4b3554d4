//! How the grammar library comes into the process.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";

/** What the library exports. */
export type XGrammar = typeof import("@mlc-ai/web-xgrammar");

/** A copy of the library in memory of its own. */
export interface Instance {
  readonly library: XGrammar;
  /** What it said last on its way to failing; it takes the text away. */
  takeMessage(): string;
}

/** What a script of CommonJS is given, around its text: as an ES module that gives a function of them. */
const WRAPPER = [
  "export default (exports, require, module, __filename, __dirname, console) => {",
  "\n};",
] as const;

type Script = (
  exports: object,
  require: NodeJS.Require,
  module: { exports: object },
  filename: string,
  dirname: string,
  console: object,
) => void;

let script: Promise<Script> | undefined;

/**
 * Loads the library, a megabyte that is mostly WebAssembly.
 *
 * Its package holds a script for browsers and CommonJS, but says that it is an ES module, and Node's own loaders then
 * find no exports in it. So the script is run as what it is. What it has against a grammar it writes to the console before
 * it aborts: it gets a console of its own, and after an abort its memory should not be used any more.
 */
export async function loadXGrammar(): Promise<Instance> {
  const path = createRequire(import.meta.url).resolve("@mlc-ai/web-xgrammar");
  script ??= scriptOf(path);
  const module = { exports: {} };
  let message = "";
  const note = (...parts: readonly unknown[]): void => {
    message += `${parts.map(String).join(" ")}\n`;
  };
  const own = { log: note, info: note, debug: note, warn: note, error: note };
  (await script)(module.exports, createRequire(path), module, path, dirname(path), own);
  return {
    library: module.exports as XGrammar,
    takeMessage() {
      const taken = message;
      message = "";
      return taken;
    },
  };
}

async function scriptOf(path: string): Promise<Script> {
  const source = Buffer.from(WRAPPER.join(await readFile(path, "utf8"))).toString("base64");
  const { default: script } = (await import(`data:text/javascript;base64,${source}`)) as { default: Script };
  return script;
}
