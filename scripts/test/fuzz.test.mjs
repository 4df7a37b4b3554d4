//! Some inputs of every format, and that the driver sees what it looks for.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { distinct, save } from "../fuzz/failures.mjs";
import { filesIn } from "../fuzz/formats/models.mjs";
import { FORMATS } from "../fuzz/formats.mjs";
import { Fuzz } from "../fuzz/fuzz.mjs";
import { inputOf } from "../fuzz/inputs.mjs";
import { Random } from "../fuzz/random.mjs";
import { supervise } from "../fuzz/supervise.mjs";

let folder;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "openelm-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const place = (name) => mkdtempSync(path.join(folder, `${name}-`));

describe.each(Object.keys(FORMATS))("%s", (name) => {
  test("comes to values and typed errors", { timeout: 300_000 }, async () => {
    const fuzz = new Fuzz(name, FORMATS[name], { seed: 7, folder: place("input") });
    await fuzz.prepare(place("samples"));
    const failures = [];
    for (let index = 0; index < 150; index++) {
      const failure = await fuzz.one(index);
      // Of time and memory tests that run beside this one have their share.
      if (failure?.kind === "error") failures.push(failure);
    }
    expect(failures).toEqual([]);
    // Changes that are all refused at the first byte would show nothing.
    const { lenient = false } = FORMATS[name];
    expect(fuzz.accepted).toBeGreaterThan(5);
    expect(lenient ? 6 : fuzz.refused).toBeGreaterThan(5);
    expect(lenient ? 6 : fuzz.refusals.size).toBeGreaterThan(3);
  });
});

const BAD = `
const sample = new Map([["a", new Uint8Array([1])]]);
const format = (read) => ({ about: "", samples: async () => [sample], mutate: (random) => new Map([["a", Uint8Array.of(random.below(4))]]), read });
import { readFileSync } from "node:fs";
const used = () => { const { user, system } = process.cpuUsage(); return user + system; };
const refusal = () => Object.assign(new Error("no"), { brand: "openelm.error", code: "FORMAT" });
const is = (folder, what) => readFileSync(folder + "/a")[0] === what;
export const FORMATS = {
  wrong: format(async (folder) => { if (is(folder, 3)) throw new TypeError("x is " + Math.random()); if (is(folder, 2)) throw refusal(); }),
  crash: format(async (folder) => { if (is(folder, 3)) process.abort(); }),
  slow: format(async (folder) => { if (is(folder, 3)) for (const end = used() + 2.2e6; used() < end; ) for (let i = 0; i < 1e7; i++); }),
  hang: format(async (folder) => { while (is(folder, 3)); }),
  memory: format(async (folder) => { if (is(folder, 3)) globalThis.kept = [globalThis.kept, new Uint8Array(1 << 29)]; }),
};`;

test("every format is read every night", () => {
  const workflow = readFileSync(new URL("../../.github/workflows/fuzz.yml", import.meta.url), "utf8");
  const listed = [...workflow.matchAll(/^ {10}- ([a-z-]+)$/gm)].map(([, name]) => name);
  expect(listed).toEqual(Object.keys(FORMATS));
});

describe("the driver", () => {
  const run = (name, inputs, hang = 3000) => {
    const module = path.join(place("module"), "formats.mjs");
    writeFileSync(module, BAD);
    const options = { folder: place(name), module: pathToFileURL(module).href, hang };
    return supervise({ name, seed: 1, inputs, ...options });
  };
  const isBad = (index) => inputOf("crash", { mutate: (random) => random.below(4) }, [0], 1, index) === 3;

  test("tells errors that are not typed from those that are", async () => {
    const { read, accepted, refused, failures, refusals } = await run("wrong", 40);
    expect(read).toBe(40);
    expect(accepted + refused).toBe(40);
    expect(failures.length).toBeGreaterThan(3);
    expect(failures.every(({ kind, message }) => kind === "error" && /^TypeError: x is/.test(message))).toBe(
      true,
    );
    expect(distinct(failures)).toMatchObject([{ count: failures.length }]);
    expect([...refusals]).toEqual(["FORMAT no"]);
  });

  test("names the input at which the process died, and goes on behind it", async () => {
    const inputs = [...Array(8).keys()].find((n) => [...Array(n).keys()].filter(isBad).length === 1) ?? 8;
    const { read, failures } = await run("crash", inputs);
    expect(read).toBe(inputs);
    expect(failures.map(({ kind, index }) => [kind, index])).toEqual(
      [...Array(inputs).keys()].filter(isBad).map((index) => ["crash", index]),
    );
  });

  const firstBad = (name) =>
    [...Array(100).keys()].find(
      (index) => inputOf(name, { mutate: (random) => random.below(4) }, [0], 1, index) === 3,
    );

  test("ends an input that hangs", async () => {
    const bad = firstBad("hang");
    const { failures } = await run("hang", bad + 1);
    expect(failures).toMatchObject([{ kind: "hang", index: bad }]);
  });

  test("sees an input that takes too much of the processor", { timeout: 90_000 }, async () => {
    const bad = firstBad("slow");
    const { failures } = await run("slow", bad + 1, 60_000);
    expect(failures).toMatchObject([{ kind: "time", index: bad }]);
  });

  test.runIf(process.platform === "linux")("sees memory that is taken and not touched", async () => {
    const { failures } = await run("memory", 30);
    expect(failures[0]).toMatchObject({ kind: "memory" });
    expect(Number(/^(\d+) MiB for 1 bytes$/.exec(failures[0].message)?.[1])).toBeGreaterThanOrEqual(512);
  });

  test("makes the same input of the same seed and number, and another of others", () => {
    const numbers = (...seed) =>
      Array.from(
        { length: 4 },
        (
          (random) => () =>
            random.u32()
        )(new Random(...seed)),
      );
    expect(numbers("gguf", 1, 2)).toEqual(numbers("gguf", 1, 2));
    expect(
      new Set([numbers("gguf", 1, 2), numbers("gguf", 2, 1), numbers("mlx", 1, 2)].map(String)).size,
    ).toBe(3);
  });

  test("keeps the files of a failure", () => {
    const files = new Map([
      ["a/b.json", Uint8Array.of(1, 2)],
      ["c", new Uint8Array(0)],
    ]);
    const kept = place("kept");
    save(kept, files, { index: 1, kind: "error", message: "m" });
    expect([...filesIn(path.join(kept, "files"))].sort()).toEqual([...files].sort());
  });
});
