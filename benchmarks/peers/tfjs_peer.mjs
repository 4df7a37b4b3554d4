// TensorFlow.js with its WebAssembly backend, which has one thread in Node.
import { classes, floats, load, serve } from "./protocol.mjs";

const { module: tf, version } = await load("@tensorflow/tfjs");
await load("@tensorflow/tfjs-backend-wasm");
await tf.setBackend("wasm");
await tf.ready();

const matrix = (rows, columns, scale, seed) =>
  tf.tensor2d(floats(rows * columns, scale, seed), [rows, columns]);

function matmul({ m, k, n, ta = false, tb = false }) {
  const a = ta ? matrix(k, m) : matrix(m, k);
  const b = tb ? matrix(n, k) : matrix(k, n);
  return () => tf.matMul(a, b, ta, tb).dispose();
}

function add({ size }) {
  const [a, b] = [1, 2].map((seed) => tf.tensor1d(floats(size, 1, seed)));
  return () => tf.add(a, b).dispose();
}

function mlp({ sizes: [inputs, hidden, outputs], batch, optimizer }) {
  const x = matrix(batch, inputs);
  const y = tf.oneHot(tf.tensor1d(classes(batch, outputs), "int32"), outputs).toFloat();
  const weights = [matrix(inputs, hidden, 0.03, 3), matrix(hidden, outputs, 0.03, 4)].map((w) =>
    tf.variable(w),
  );
  const biases = [hidden, outputs].map((size) => tf.variable(tf.zeros([size])));
  const forward = () => x.matMul(weights[0]).add(biases[0]).relu().matMul(weights[1]).add(biases[1]);
  if (optimizer === null) return () => tf.tidy(() => void forward());
  const rule = optimizer === "adam" ? tf.train.adam(1e-3) : tf.train.sgd(0.01);
  const loss = () => tf.losses.softmaxCrossEntropy(y, forward());
  return () => void rule.minimize(loss);
}

await serve(`@tensorflow/tfjs ${version} (wasm)`, { matmul, add, mlp });
