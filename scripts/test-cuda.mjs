// npm run test:cuda: kernels, gradients and goldens on a GPU.
import { build, conformanceProgram } from "./lib/build.mjs";
import { setupCuda } from "./lib/cuda.mjs";
import { main, run, tool } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";
import { Steps } from "./lib/steps.mjs";

const HELP = `npm run test:cuda

Holds every kernel to the oracle of its op, every gradient to finite differences, and the models to the goldens, on the
first GPU. docs/guides/run-on-a-gpu.md says what a machine needs.`;

const GOLDENS = "packages/testing/goldens";

await main(async () => {
  if (process.argv.includes("--help")) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  await setup();
  await setupCuda();
  await build();
  const onGpu = { env: { OPENELM_DEVICE: "cuda" } };
  const succeeds = async (/** @type {Parameters<typeof run>} */ ...command) =>
    (await run(...command)).status === 0;
  const steps = new Steps();
  await steps.run("kernels", async () => succeeds(await conformanceProgram(), ["--device", "cuda"]));
  const gradients = ["run", "--project", "autograd", "packages/autograd/test/gradients.test.ts"];
  await steps.run("gradients", () => {
    const [program, args] = tool("vitest", gradients);
    return succeeds(program, args, onGpu);
  });
  const goldens = ["packages/goldens/dist/main.js", "--dir", GOLDENS];
  await steps.run("goldens", () => succeeds(process.execPath, goldens, onGpu));
  process.stdout.write(`\n${steps.summary()}\n`);
  return steps.failed.length === 0 ? 0 : 1;
});
