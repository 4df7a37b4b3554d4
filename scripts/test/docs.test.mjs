import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { blocksOf, examplesOf, isQuoted } from "../lib/docs/blocks.mjs";
import { programOf } from "../lib/docs/program.mjs";
import { ROOT, run, tool } from "../lib/run.mjs";
import { files, isGenerated } from "../lib/sources.mjs";

const read = (name) => readFileSync(path.join(ROOT, name), "utf8");
const names = files(ROOT).filter((name) => !isGenerated(name));
const pages = names.filter((name) => /\.md$/.test(name) && !name.startsWith(".changeset/"));
const inPages = pages.flatMap((name) => blocksOf(name, read(name)));
const isPath = (info) => /^[\w./-]+\/[\w./-]+\.\w+$/.test(info);

// Ignored by git, and inside the repository, so that the packages are found.
const FOLDER = path.join(ROOT, "dist/examples");
const PACKAGES = ["tensor", "autograd", "nn", "testing", "train", "models", "data"];

const examples = [
  ...names
    .filter((name) => /^packages\/[^/]+\/src\/.*\.ts$/.test(name))
    .flatMap((name) => examplesOf(name, read(name))),
  ...inPages.filter(({ info }) => !isPath(info)),
].filter(({ language, info }) => language === "ts" && info !== "no-check");

describe("examples", () => {
  const fileOf = (i) => path.join(FOLDER, `example-${i}.ts`);
  /** Errors of the compiler by the name of the file. @type {Map<string, string[]>} */
  const errors = new Map();

  beforeAll(async () => {
    rmSync(FOLDER, { recursive: true, force: true });
    mkdirSync(FOLDER, { recursive: true });
    const packages = new Map();
    for (const name of PACKAGES) {
      packages.set(`@openelm/${name}`, Object.keys(await import(`@openelm/${name}`)));
    }
    examples.forEach((block, i) => {
      const own = block.place.match(/^packages\/(\w+)\//)?.[1] ?? "";
      const nearest = [...packages].sort(([a], [b]) => +b.endsWith(`/${own}`) - +a.endsWith(`/${own}`));
      writeFileSync(fileOf(i), programOf(block, new Map(nearest)));
    });
    for (const [name, text] of newOpFiles()) writeFileSync(path.join(FOLDER, name), text);
    const options = { rootDir: "../..", composite: false, declaration: false, declarationMap: false };
    writeFileSync(
      path.join(FOLDER, "tsconfig.json"),
      JSON.stringify({
        extends: "../../tsconfig.base.json",
        compilerOptions: { ...options, noEmit: true, tsBuildInfoFile: null },
        include: ["*.ts"],
      }),
    );
    const command = tool("typescript", ["-p", FOLDER, "--pretty", "false"], "tsc");
    const { stdout } = await run(...command, { capture: true });
    for (const line of stdout.split("\n").filter((one) => one.includes("error TS"))) {
      const file = path.basename(line.split("(")[0]);
      errors.set(file, [...(errors.get(file) ?? []), line]);
    }
  }, 120_000);
  afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

  test.each(examples.map((block, i) => [block.place, i]))("%s", async (_, i) => {
    expect(errors.get(path.basename(fileOf(i))), readFileSync(fileOf(i), "utf8")).toBeUndefined();
    if (examples[i].info === "no-run") return;
    vi.stubGlobal("expectValue", expectValue);
    const before = process.cwd();
    // Files that an example writes are written there.
    process.chdir(FOLDER);
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    const write = vi.spyOn(process.stdout, "write").mockImplementation(() => true);
    try {
      await import(fileOf(i));
    } finally {
      process.chdir(before);
      write.mockRestore();
      log.mockRestore();
      vi.unstubAllGlobals();
    }
  });

  test("and what new-op writes for TypeScript compiles", () => {
    for (const [name] of newOpFiles()) expect(errors.get(name), name).toBeUndefined();
  });

  test("and nothing beside them has an error", () => {
    expect([...errors.keys()].filter((name) => !/^(example-\d+|new-op-\w+)\.ts$/.test(name))).toEqual([]);
  });
});

/** The TypeScript templates of a new op, for an op of the form that they begin with. */
function newOpFiles() {
  const fill = (name, from) =>
    read(`native/xtask/templates/${name}.ts.in`)
      .replaceAll("op_name", "tanh")
      .replaceAll('"../', `"../../packages/autograd/${from}/`);
  return [
    ["new-op-rule.ts", fill("rule", "src")],
    ["new-op-samples.ts", fill("samples", "test")],
  ];
}

/** A value of an example, up to roundings of f32; `actual` may be a typed array. */
function expectValue(actual, expected, text) {
  const plain = (value) =>
    ArrayBuffer.isView(value) ? Array.from(value) : Array.isArray(value) ? value.map(plain) : value;
  const near = (a, b) => {
    if (typeof a === "number" && typeof b === "number") {
      return Object.is(a, b) || Math.abs(a - b) <= 2e-6 * Math.max(1, Math.abs(b));
    }
    if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return a === b;
    const keys = Object.keys(b);
    return Object.keys(a).length === keys.length && keys.every((key) => near(a[key], b[key]));
  };
  expect(near(plain(actual), expected), `${text} is ${JSON.stringify(plain(actual))}`).toBe(true);
}

describe("the program of an example", () => {
  const packages = new Map([
    ["@openelm/tensor", ["tensor", "zeros", "split"]],
    ["@openelm/nn", ["zeros", "Linear"]],
  ]);
  const made = (code, info = "") => programOf({ place: "", language: "ts", info, code }, packages);

  test("imports what it uses, from the nearest package, and not what it declares", () => {
    const program = made('const split = 1;\nconst y = zeros([2]).tensor; // Linear "Linear"\n');
    expect(program).toContain('import { zeros } from "@openelm/tensor";');
    expect(program).not.toContain("Linear }");
    expect(program).not.toMatch(/import .*(split|nn)/);
  });

  test("begins with what it takes for granted", () => {
    expect(made("layer.forward(x);\n")).toMatch(/const x = .*\n.*const layer = new Linear/);
    expect(made("const x = 1;\nlayer.forward(x);\n")).not.toContain("const x = tensor");
  });

  test("checks values behind expressions, and leaves words alone", () => {
    expect(made("f(2); // [1, 2]\n")).toContain('expectValue(f(2), [1, 2], "f(2)");');
    expect(made("f(2);\n// [1, 2]\n")).toContain("expectValue(f(2), [1, 2]");
    expect(made("f(2); // the trace\n")).not.toContain("expectValue(f");
    expect(made("f(2); // [1, 2]\n", "no-run")).not.toContain("expectValue(f");
  });

  test("fails when a value differs", () => {
    expect(() => expectValue(Float32Array.of(1, 2), [1, 2.1], "x")).toThrow(/x is \[1,2\]/);
    expect(() => expectValue({ a: [1] }, { a: [1], b: 2 }, "x")).toThrow();
    expectValue(Float32Array.of(1, 2), [1, 2], "x");
  });
});

describe("quotations of the tree are as it is:", () => {
  const quotations = inPages.filter(({ info }) => isPath(info));

  test.each(quotations.map(({ place, info, code }) => [place, info, code]))("%s of %s", (_, source, code) => {
    expect(existsSync(path.join(ROOT, source)), `there is no ${source}`).toBe(true);
    expect(isQuoted(code, read(source)), `${source} has no such lines`).toBe(true);
  });

  test("there are some", () => expect(quotations.length).toBeGreaterThan(5));

  test("a changed line is found, left out lines are not", () => {
    const source = "fn a() {\n    one();\n    two();\n    three();\n}\n";
    expect(isQuoted("one();\ntwo();\n", source)).toBe(true);
    expect(isQuoted("fn a() {\n    // …\n    three();\n}\n", source)).toBe(true);
    expect(isQuoted("one();\nthree();\n", source)).toBe(false);
    expect(isQuoted("three();\n// …\none();\n", source)).toBe(false);
    expect(isQuoted("one(1);\n", source)).toBe(false);
  });
});

test.each(pages)("%s links to files that exist", (page) => {
  const links = [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(([, link]) => link);
  expect(links.filter((link) => !existsSync(path.join(ROOT, path.dirname(page), link)))).toEqual([]);
});

test("every script that CONTRIBUTING and README name exists", () => {
  const { scripts } = JSON.parse(read("package.json"));
  const named = ["README.md", "CONTRIBUTING.md", ...pages.filter((name) => name.startsWith("docs/"))]
    .flatMap((name) => [...read(name).matchAll(/npm run ([\w:-]+)/g)])
    .map(([, script]) => script);
  expect([...new Set(named)].filter((name) => !(name in scripts))).toEqual([]);
});

test("decision records are numbered without gaps", () => {
  const numbers = readdirSync(path.join(ROOT, "docs/decisions")).map((name) => Number(name.slice(0, 4)));
  expect(numbers.sort((a, b) => a - b)).toEqual(numbers.map((_, i) => i + 1));
});
