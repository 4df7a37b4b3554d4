import { device, matmul, scope, uniform } from "@openelm/tensor";

const d = device("cpu");
const [m, k, n] = process.argv.slice(2).map(Number);
const a = uniform([m, k]),
  b = uniform([k, n]);
const s = performance.now();
const c = Math.round(1.5e11 / (m * n * k * 2));
for (let i = 0; i < c; i++) scope(() => void matmul(a, b));
d.synchronizeSync();
console.log(((c * 2 * m * n * k) / (performance.now() - s) / 1e6).toFixed(0));
process.exit(0);
