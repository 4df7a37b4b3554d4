//! What the host does for a GPU, with a driver made for tests (@openelm/testing/cuda-driver): it needs no GPU.

import { CudaDriver, type DriverOptions } from "@openelm/testing/cuda-driver";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Installed, type Outcome } from "./installed.js";

let driver: CudaDriver;
let installed: Installed;
let compiled: boolean;
beforeAll(async () => {
  driver = new CudaDriver();
  installed = await Installed.create();
  const { output } = await run(`try { device("cuda"); } catch (error) { console.log(error.message); }`);
  compiled = !output.includes("this build has no CUDA kernels");
});
afterAll(() => {
  driver?.remove();
  installed?.remove();
});

const START = `
  import { device, devices, tensor } from "@openelm/tensor";
  const on = (...values) => tensor(values).to("cuda");
  // A failure shows at the first call or read after it is known.
  const code = async (make) => {
    try {
      await make().data();
      return "passed";
    } catch (error) {
      return error.code;
    }
  };
`;

/** Runs a program with the driver. */
const run = (body: string, options?: DriverOptions): Promise<Outcome> =>
  installed.run(START + body, { env: driver.env(options) });

/** Runs a program that ends by printing what it is to print. */
async function prints(body: string, wanted: string[], options?: DriverOptions): Promise<void> {
  const { code, signal, output } = await run(body, options);
  expect({ code, signal, output: output.trim().split("\n") }).toEqual({
    code: 0,
    signal: null,
    output: wanted,
  });
}

describe.runIf(process.platform === "linux")("a GPU's driver", () => {
  beforeEach(({ skip }) => skip(!compiled, "this build has no CUDA kernels"));

  test("is found, computes, and copies there and back", () =>
    prints(
      `console.log(devices().join(" "));
       const sum = on(1, 2, 3).add(on(10, 20, 30));
       console.log(sum.device.name, ...(await sum.data()), sum.add(sum).to("cpu").sum().itemSync());`,
      ["cpu cuda", "cuda 11 22 33 132"],
    ));

  test("may have several: each has its own memory, and tensors move between them", () =>
    prints(
      `console.log(devices().join(" "));
       const there = tensor([1, 2]).to("cuda:1");
       const sum = there.add(there);
       console.log(sum.device.name, ...(await sum.data()));
       console.log(device("cuda").memory().current > 0, device("cuda:1").memory().current > 0);
       const here = sum.to("cuda");
       console.log(here.device.name, ...(await here.add(on(10, 20)).data()));
       console.log(await code(() => here.add(sum)));`,
      ["cpu cuda cuda:1", "cuda:1 2 4", "false true", "cuda 12 24", "DEVICE_MISMATCH"],
      { DEVICES: 2 },
    ));

  test("replays what was recorded, with other values and other shapes", () =>
    prints(
      `const step = device("cuda").capture((x, y) => x.add(y).add(x));
       const one = on(1, 1);
       for (let i = 0; i < 4; i++) console.log(...(await step(on(i, 10 * i), one).data()));
       console.log(...(await step(on(1, 2, 3), on(4, 5, 6)).data()), ...(await step(on(7, 8), one).data()));
       const before = device("cuda").memory().current;
       for (let i = 0; i < 100; i++) step(one, one).dispose();
       await device("cuda").synchronize();
       console.log(device("cuda").memory().current - before);`,
      ["1 1", "3 21", "5 41", "7 61", "6 9 12 15 17", "0"],
    ));

  test("that is slow makes callers wait, and all calls run in order", () =>
    prints(
      `let x = on(0, 1);
       const one = on(1, 1);
       let most = 0;
       for (let i = 0; i < 20_000; i++) {
         const next = x.add(one);
         x.dispose();
         x = next;
         most = Math.max(most, device("cuda").stats().pending);
       }
       console.log(...(await x.data()), most <= 1024, device("cuda").stats().stalls > 0);`,
      ["20000 20001 true true"],
      { SPIN: 5000 },
    ));

  test("that refuses a launch fails that call and what is made from it, and nothing else", () =>
    prints(
      `const a = on(1), good = a.add(a), bad = a.add(a), after = a.add(good);
       await bad.data().catch((error) => console.log(error.message));
       console.log(await code(() => bad.add(a)), await code(() => bad.add(a).add(a)));
       console.log(...(await good.data()), ...(await after.data()));
       const synchronized = () => device("cuda").synchronize().then(() => "passed", (error) => error.code);
       console.log(await synchronized(), await synchronized());`,
      [
        "[KERNEL_FAILED] add: add: a test wants it so (CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)",
        "KERNEL_FAILED KERNEL_FAILED",
        "2 3",
        "KERNEL_FAILED passed",
      ],
      { FAILS_AT: 2 },
    ));

  test("that loses its device fails what was written since the last look", () =>
    prints(
      `const a = on(1), first = a.add(a);
       console.log(...(await first.data()));
       const second = a.add(first);
       console.log(await code(() => second), await code(() => second.add(a)), await code(() => on(2)));
       console.log(...tensor([3]).add(tensor([4])).dataSync());`,
      ["2", "DEVICE_LOST DEVICE_LOST DEVICE_LOST", "7"],
      { LOST_AT: 2 },
    ));

  test("without memory left says so, and goes on when some is given back", () =>
    prints(
      `const big = tensor(new Float32Array(1 << 20)).to("cuda");
       try {
         big.add(big).add(big);
         throw new Error("passed");
       } catch (error) {
         console.log(error.code);
       }
       big.dispose();
       console.log(...(await on(1).add(on(2)).data()));`,
      ["OUT_OF_MEMORY", "3"],
      { MEMORY: 10 << 20 },
    ));

  test("is left while it has work in hand, with the program's own status", async () => {
    const leave = `let x = on(1); for (let i = 0; i < 900; i++) x = x.add(x);`;
    const outcomes = await Promise.all([
      run(`${leave} process.exit(7);`, { SPIN: 100_000 }),
      run(`${leave} throw new Error("mine");`, { SPIN: 100_000 }),
    ]);
    expect(outcomes.map(({ code, signal }) => ({ code, signal }))).toEqual([
      { code: 7, signal: null },
      { code: 1, signal: null },
    ]);
  });

  test.each([
    [{ VERSION: 12080 }, "the driver speaks CUDA 12.8, 13.0 is needed"],
    [{ DEVICES: 0 }, "the driver sees no device"],
  ])("that cannot be used: %o", (options, why) =>
    prints(
      `try { device("cuda"); } catch (error) { console.log(error.code, error.message); }`,
      [`DEVICE_UNAVAILABLE device: there is no device "cuda" (${why}); this machine has cpu, meta`],
      options,
    ),
  );
});
