// node-mlx: MLX's C++ core from JavaScript; lazy, so every call evaluates what it made.
import { classes, floats, load, PEERS, serve } from "./protocol.mjs";

const { module: mlx, version } = await load("@frost-beta/mlx", `${PEERS}node-mlx`);
const { core: mx, nn, optimizers } = mlx;

const array = (shape, scale, seed) =>
  mx.reshape(
    mx.array(
      floats(
        shape.reduce((a, b) => a * b, 1),
        scale,
        seed,
      ),
    ),
    shape,
  );

function evaluated(call) {
  return () => {
    const result = call();
    mx.eval(result);
    mx.dispose(result);
  };
}

function matmul({ m, k, n, ta = false, tb = false }) {
  const seen = (rows, columns, transposed) =>
    transposed ? mx.transpose(array([columns, rows])) : array([rows, columns]);
  const [a, b] = [seen(m, k, ta), seen(k, n, tb)];
  mx.eval(a, b);
  return evaluated(() => mx.matmul(a, b));
}

function add({ size }) {
  const [a, b] = [1, 2].map((seed) => array([size], 1, seed));
  mx.eval(a, b);
  return evaluated(() => mx.add(a, b));
}

function mlp({ sizes: [inputs, hidden, outputs], batch, optimizer }) {
  const model = new nn.Sequential(new nn.Linear(inputs, hidden), nn.relu, new nn.Linear(hidden, outputs));
  const x = array([batch, inputs]);
  const y = mx.array(classes(batch, outputs));
  const rule = optimizer === "adam" ? new optimizers.Adam(1e-3) : new optimizers.SGD(0.01);
  const loss = (model, x, y) =>
    nn.losses.crossEntropy(model.forward(x), y, undefined, undefined, undefined, "mean");
  const lossAndGrad = nn.valueAndGrad(model, loss);
  return () =>
    void mx.tidy(() => {
      const [, gradients] = lossAndGrad(model, x, y);
      rule.update(model, gradients);
      mx.eval(model.state, rule.state);
      return [model.state, rule.state];
    });
}

await serve(`@frost-beta/mlx ${version}`, { matmul, add, mlp });
