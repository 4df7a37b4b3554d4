// jax-js: compiled to WebAssembly, one thread. Arrays are lazy and consumed by use; `ref` keeps them.
import { classes, floats, load, serve } from "./protocol.mjs";

const { module: jax, version } = await load("@jax-js/jax");
const { init, jit, valueAndGrad, numpy: np, nn, tree, blockUntilReady } = jax;
// Without a name it asks for WebGPU, which Node does not have.
await init("wasm");

const array = (shape, scale, seed) =>
  np
    .array(
      floats(
        shape.reduce((a, b) => a * b, 1),
        scale,
        seed,
      ),
    )
    .reshape(shape);

async function finish(result) {
  await result.blockUntilReady();
  result.dispose();
}

function matmul({ m, k, n, ta = false, tb = false }) {
  const a = array(ta ? [k, m] : [m, k]);
  const b = array(tb ? [n, k] : [k, n]);
  const seen = (x, transposed) => (transposed ? x.ref.transpose() : x.ref);
  return () => finish(np.matmul(seen(a, ta), seen(b, tb)));
}

/** Under `jit`, the faster of the two ways to call it. */
function add({ size }) {
  const [a, b] = [1, 2].map((seed) => array([size], 1, seed));
  const f = jit((x, y) => x.add(y));
  return () => finish(f(a.ref, b.ref));
}

async function mlp({ sizes: [inputs, hidden, outputs], batch, optimizer }) {
  if (optimizer === "adam") throw new Error("Adam is in another package");
  const x = array([batch, inputs]);
  const y = nn.oneHot(np.array(classes(batch, outputs)), outputs);
  let parameters = {
    w1: array([inputs, hidden], 0.03, 3),
    b1: np.zeros([hidden]),
    w2: array([hidden, outputs], 0.03, 4),
    b2: np.zeros([outputs]),
  };
  await blockUntilReady([x, y, ...Object.values(parameters)]);
  const forward = (p, x) => np.matmul(nn.relu(np.matmul(x, p.w1).add(p.b1)), p.w2).add(p.b2);
  if (optimizer === null) {
    const compiled = jit(forward);
    return () => finish(compiled(tree.ref(parameters), x.ref));
  }
  const loss = (p, x, y) => np.mean(np.sum(nn.logSoftmax(forward(p, x)).mul(y), -1)).neg();
  const step = jit((p, x, y) => {
    const [value, gradients] = valueAndGrad(loss)(tree.ref(p), x, y);
    return [
      value,
      Object.fromEntries(Object.keys(p).map((key) => [key, p[key].sub(gradients[key].mul(0.01))])),
    ];
  });
  return async () => {
    const [value, next] = step(parameters, x.ref, y.ref);
    parameters = next;
    await blockUntilReady(Object.values(next));
    value.dispose();
  };
}

await serve(`@jax-js/jax ${version} (wasm)`, { matmul, add, mlp });
