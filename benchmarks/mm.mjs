import { device, matmul, scope, uniform } from "@openelm/tensor";

const d = device("cpu");
for (const [m, k, n] of [
  [1024, 1024, 1024],
  [1000, 1000, 1000],
  [512, 1280, 1536],
  [2048, 192, 768],
  [2048, 2048, 2048],
  [64, 784, 1024],
]) {
  const a = uniform([m, k]),
    b = uniform([k, n]);
  const t = [];
  for (let r = 0; r < 9; r++) {
    const s = performance.now();
    const c = Math.max(1, Math.round(2e9 / (m * n * k * 2)));
    for (let i = 0; i < c; i++) scope(() => void matmul(a, b));
    d.synchronizeSync();
    t.push((performance.now() - s) / c);
  }
  t.sort((x, y) => x - y);
  console.log(m, k, n, ((2 * m * n * k) / t[4] / 1e6).toFixed(0), ((2 * m * n * k) / t[0] / 1e6).toFixed(0));
}
process.exit(0);
