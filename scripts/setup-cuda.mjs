// npm run setup:cuda: fetches the compiler of CUDA kernels into native/.cuda, where the build finds it.
import { setupCuda } from "./lib/cuda.mjs";
import { main } from "./lib/run.mjs";

await main(setupCuda);
