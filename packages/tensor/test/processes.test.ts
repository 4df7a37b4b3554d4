import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { devices } from "@openelm/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Installed } from "./installed.js";

let installed: Installed;
beforeAll(async () => {
  installed = await Installed.create();
});
afterAll(() => installed?.remove());

/** Runs a program that ends by printing `ok`. */
async function ok(body: string, args: string[] = []): Promise<void> {
  const { code, signal, output } = await installed.run(body, { args });
  expect({ code, signal, output }).toEqual({ code: 0, signal: null, output: "ok\n" });
}

const PEAK = `
  import { readFileSync } from "node:fs";
  // The most that was ever resident, as the system counts it.
  const peak = () => process.resourceUsage().maxRSS * 1024;
  const resident = () => process.memoryUsage.rss();
`;

describe("memory of a process", () => {
  test("600 dropped results of 4 MiB, no await, no scope: less than 0.2 GB more", () =>
    ok(`${PEAK}
      import { ones } from "@openelm/tensor";
      const x = ones([1024, 1024]);
      x.copy();
      const before = peak();
      for (let i = 0; i < 600; i++) x.copy();
      const more = peak() - before;
      if (more > 0.2e9) throw new Error(\`\${more / 1e6} MB more\`);
      console.log("ok");
    `));

  test("the same with reads between them", () =>
    ok(`${PEAK}
      import { ones } from "@openelm/tensor";
      const x = ones([1024, 1024]);
      await x.copy().at(0, 0).item();
      const before = peak();
      for (let i = 0; i < 200; i++) await x.copy().at(0, 0).item();
      const more = peak() - before;
      if (more > 0.2e9) throw new Error(\`\${more / 1e6} MB more\`);
      console.log("ok");
    `));

  test("100,000 small ops with dropped results leave resident memory flat", () =>
    ok(`${PEAK}
      import { liveTensors, ones } from "@openelm/tensor";
      let x = ones([8, 8]);
      const loop = (n) => { for (let i = 0; i < n; i++) x.copy(); };
      loop(30_000);
      const before = resident();
      loop(100_000);
      const more = resident() - before;
      if (more > 20e6) throw new Error(\`\${more / 1e6} MB more\`);
      if (liveTensors() > 100) throw new Error(liveTensors() + " live");
      console.log("ok");
    `));

  test("and as many in scopes", () =>
    ok(`${PEAK}
      import { liveTensors, ones, scope } from "@openelm/tensor";
      const x = ones([8, 8]);
      const loop = (n) => { for (let i = 0; i < n; i++) scope(() => { x.copy().reshape([64]); }); };
      loop(10_000);
      const before = resident();
      loop(50_000);
      if (resident() - before > 20e6) throw new Error("grew");
      if (liveTensors() > 10) throw new Error(liveTensors() + " live");
      console.log("ok");
    `));

  test("a program that only drops results ends by itself", () =>
    ok(`
      import { ones } from "@openelm/tensor";
      ones([1000, 1000]).copy();
      console.log("ok");
    `));

  test("a read that is not awaited keeps the process until it is done", () =>
    ok(`
      import { ones } from "@openelm/tensor";
      ones([1500, 1500]).matmul(ones([1500, 1500])).at(0, 0).item().then((v) => console.log(v === 1500 ? "ok" : v));
    `));
});

const WORKER = (body: string): string => `
  import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
  import { fileURLToPath } from "node:url";
  const start = (data) => new Worker(fileURLToPath(import.meta.url), { workerData: data });
  ${body}
`;

describe("workers", () => {
  test("eight at once compute and give tensors away", () =>
    ok(
      WORKER(`
        if (isMainThread) {
          const { Tensor } = await import("@openelm/tensor");
          const workers = Array.from({ length: 8 }, (_, i) => start(i));
          const sums = await Promise.all(workers.map((w) => new Promise((resolve, reject) => {
            w.on("error", reject);
            w.on("message", async (token) => {
              const value = await Tensor.fromShared(token).item();
              w.postMessage("done");
              w.on("exit", () => resolve(value));
            });
          })));
          const expected = sums.map((_, i) => 100 * 64 * i);
          console.log(String(sums) === String(expected) ? "ok" : sums);
        } else {
          const { full, ones, scope } = await import("@openelm/tensor");
          const x = full([64, 64], workerData);
          let sum = full([1, 1], 0);
          for (let i = 0; i < 100; i++) sum = scope(() => x.matmul(ones([64, 1])).at([0]));
          const total = sum.matmul(full([1, 1], 100)).reshape([]);
          parentPort.on("message", () => process.exit(0));
          parentPort.postMessage(total.share());
        }
      `),
    ));

  test("several record and replay at once, each its own", () =>
    ok(
      WORKER(`
        const { device, full, ones, scope } = await import("@openelm/tensor");
        function work(seed) {
          const weight = full([64, 64], seed / 64);
          const step = device("cpu").capture((x) => x.matmul(weight).add(seed).mul(0.5));
          for (let i = 0; i < 200; i++) {
            const good = scope(() => {
              const x = full([8 + (i % 2), 64], i);
              return step(x).sub(x.matmul(weight).add(seed).mul(0.5)).abs().sum().itemSync() === 0;
            });
            if (!good) return "wrong";
          }
          return "ok";
        }
        if (isMainThread) {
          const workers = Array.from({ length: 3 }, (_, i) => start(i + 1));
          const ends = workers.map((w) => new Promise((resolve, reject) => w.on("error", reject).on("message", resolve)));
          const all = [work(9), ...(await Promise.all(ends))];
          console.log(all.every((end) => end === "ok") ? "ok" : all);
        } else parentPort.postMessage(work(workerData));
      `),
    ));

  test("a worker as the only one that loads the package", () =>
    ok(
      WORKER(`
        if (isMainThread) start(0).on("message", (v) => console.log(v));
        else {
          const { ones } = await import("@openelm/tensor");
          parentPort.postMessage((await ones([3]).at(1).item()) === 1 ? "ok" : "wrong");
        }
      `),
    ));

  test("terminate() in the middle of kernels and reads ends that worker alone", () =>
    ok(
      WORKER(`
        if (isMainThread) {
          const { ones } = await import("@openelm/tensor");
          for (let round = 0; round < 3; round++) {
            const workers = Array.from({ length: 3 }, () => start(0));
            await Promise.all(workers.map((w) => new Promise((resolve) => w.once("message", resolve))));
            await Promise.all(workers.map((w) => w.terminate()));
          }
          const sum = await ones([10, 10]).matmul(ones([10, 10])).at(0, 0).item();
          console.log(sum === 10 ? "ok" : sum);
        } else {
          const { ones } = await import("@openelm/tensor");
          const x = ones([300, 300]);
          parentPort.postMessage("ready");
          for (;;) {
            for (let i = 0; i < 20; i++) x.matmul(x).data().catch(() => {});
            await x.matmul(x).data();
          }
        }
      `),
    ));

  test("process.exit() under load ends with its code", async () => {
    const { code, signal, output } = await installed.run(
      WORKER(`
        const { ones } = await import("@openelm/tensor");
        const x = ones([700, 700]);
        const load = () => { for (let i = 0; i < 30; i++) x.matmul(x).data(); };
        if (isMainThread) {
          for (let i = 0; i < 2; i++) start(0);
          load();
          setTimeout(() => process.exit(3), 60);
        } else {
          for (;;) { load(); await x.matmul(x).data(); }
        }
      `),
    );
    expect({ code, signal, output }).toEqual({ code: 3, signal: null, output: "" });
  });
});

describe.each(devices().map(({ name }) => name))("thousands of calls that wait on %s", (name) => {
  /** A program that leaves them behind while they wait. */
  const leaving = (end: string): string => `
    import { device, ones, withDefaults } from "@openelm/tensor";
    const x = withDefaults({ device: ${JSON.stringify(name)} }, () => ones([400, 400]));
    x.matmul(x).sum().itemSync();
    for (let i = 0; i < 4000; i++) x.matmul(x);
    if (device(${JSON.stringify(name)}).stats().pending < 100) throw new RangeError("nothing waits");
    ${end}
  `;

  test.each([
    ['throw new TypeError("mine")', 1],
    ["process.exit(7)", 7],
    ['Promise.reject(new TypeError("mine"))', 1],
  ])("are left behind by %s, with its status and at once, every time", async (end, status) => {
    for (let round = 0; round < 3; round++) {
      const since = performance.now();
      const { code, signal, output } = await installed.run(leaving(end));
      expect({ code, signal }, output).toEqual({ code: status, signal: null });
      expect(output).not.toContain("RangeError");
      expect(performance.now() - since).toBeLessThan(15_000);
    }
  });

  test("are left behind by a worker and the main thread that both leave", async () => {
    const { code, signal, output } = await installed.run(
      WORKER(`
        const { ones, withDefaults } = await import("@openelm/tensor");
        const x = withDefaults({ device: ${JSON.stringify(name)} }, () => ones([300, 300]));
        for (let i = 0; i < 500; i++) x.matmul(x);
        if (isMainThread) start(0).on("message", () => { throw new TypeError("mine"); });
        else {
          parentPort.postMessage("ready");
          for (;;) x.matmul(x);
        }
      `),
    );
    expect({ code, signal }, output).toEqual({ code: 1, signal: null });
  });
});

describe("copies of the package", () => {
  test("a second one is refused by name", async () => {
    mkdirSync(join(installed.folder, "other/node_modules/@openelm"), { recursive: true });
    await installed.add("tensor", "other/node_modules/@openelm/tensor");
    await ok(`
      await import("@openelm/tensor");
      const { isOpenELMError } = await import("@openelm/native");
      const error = await import("./other/node_modules/@openelm/tensor/dist/index.js").catch((e) => e);
      console.log(isOpenELMError(error, "DUPLICATE_PACKAGE") && /npm dedupe/.test(error.message) ? "ok" : error);
    `);
  });

  test("require() works, since nothing awaits while loading", async () => {
    const { code, output } = await installed.run(
      `import { createRequire } from "node:module";
       const { ones } = createRequire(import.meta.url)("@openelm/tensor");
       console.log(ones([1]).itemSync() === 1 ? "ok" : "wrong");`,
      { args: ["--experimental-require-module", "--no-warnings"] },
    );
    expect({ code, output }).toEqual({ code: 0, output: "ok\n" });
  });
});
