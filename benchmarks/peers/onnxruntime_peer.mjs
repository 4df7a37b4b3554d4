// ONNX Runtime on the CPU: inference alone. Models are written here, a few nodes each.
import { floats, load, serve, THREADS } from "./protocol.mjs";

const { module: ort, version } = await load("onnxruntime-node");
const OPTIONS = { intraOpNumThreads: THREADS, interOpNumThreads: 1, executionProviders: ["cpu"] };

// Protocol buffers: a field is its number and kind, then a number or the length of what follows.
const FLOAT = 1;
const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);
const number = (field, n) => [...varint(field * 8), ...varint(n)];
const bytes = (field, content) => [...varint(field * 8 + 2), ...varint(content.length), ...content];
const text = (field, string) => bytes(field, [...Buffer.from(string)]);

/** onnx.ValueInfoProto: a name and the type of a tensor with a fixed shape. */
function value(name, shape) {
  const dimensions = shape.flatMap((size) => bytes(1, number(1, size)));
  const type = [...number(1, FLOAT), ...bytes(2, dimensions)];
  return [...text(1, name), ...bytes(2, bytes(1, type))];
}

/** onnx.ModelProto of nodes `[operator, inputs, output]`; shapes by name, the last of them the output's. */
function model(nodes, shapes) {
  const values = Object.entries(shapes).map(([name, shape]) => value(name, shape));
  const graph = [
    ...nodes.flatMap(([operator, inputs, output]) =>
      bytes(1, [...inputs.flatMap((name) => text(1, name)), ...text(2, output), ...text(4, operator)]),
    ),
    ...text(2, "graph"),
    ...values.slice(0, -1).flatMap((input) => bytes(11, input)),
    ...bytes(12, values.at(-1)),
  ];
  return Uint8Array.from([
    ...number(1, 8),
    ...bytes(7, graph),
    ...bytes(8, [...text(1, ""), ...number(2, 17)]),
  ]);
}

/** Runs a graph on random inputs again and again, into an output that is there already. */
async function runs(nodes, shapes) {
  const session = await ort.InferenceSession.create(model(nodes, shapes), OPTIONS);
  const names = Object.keys(shapes);
  const feeds = {};
  for (const name of names.slice(0, -1)) {
    const shape = shapes[name];
    feeds[name] = new ort.Tensor(
      "float32",
      floats(
        shape.reduce((a, b) => a * b, 1),
        0.1,
      ),
      shape,
    );
  }
  const results = await session.run(feeds);
  return () => session.run(feeds, results);
}

function matmul({ m, k, n, ta, tb }) {
  if (ta || tb) throw new Error("operands are not transposed");
  return runs([["MatMul", ["a", "b"], "c"]], { a: [m, k], b: [k, n], c: [m, n] });
}

const add = ({ size }) => runs([["Add", ["a", "b"], "c"]], { a: [size], b: [size], c: [size] });

function mlp({ sizes: [inputs, hidden, outputs], batch, optimizer }) {
  if (optimizer !== null) throw new Error("there is no training");
  return runs(
    [
      ["MatMul", ["x", "w1"], "h0"],
      ["Add", ["h0", "b1"], "h1"],
      ["Relu", ["h1"], "h"],
      ["MatMul", ["h", "w2"], "y0"],
      ["Add", ["y0", "b2"], "y"],
    ],
    {
      x: [batch, inputs],
      w1: [inputs, hidden],
      b1: [hidden],
      w2: [hidden, outputs],
      b2: [outputs],
      y: [batch, outputs],
    },
  );
}

await serve(`onnxruntime-node ${version}`, { matmul, add, mlp });
