// The native part of mni-ml, which its tensor class forwards to; tensors are numbers that one frees by hand.
import { classes, floats, load, serve } from "./protocol.mjs";

const { module: core, version } = await load("@mni-ml/framework-linux-x64-gnu");

const tensor = (shape, scale, seed) =>
  core.fromFloat32(
    floats(
      shape.reduce((a, b) => a * b, 1),
      scale,
      seed,
    ),
    shape,
  );

/** A call whose result is freed and whose gradient is not recorded. */
function inferring(call) {
  core.noGradStart();
  return () => core.freeTensor(call());
}

function matmul({ m, k, n, ta, tb }) {
  if (ta || tb) throw new Error("operands are not transposed");
  const [a, b] = [tensor([m, k]), tensor([k, n])];
  return inferring(() => core.matmul(a, b));
}

function add({ size }) {
  const [a, b] = [1, 2].map((seed) => tensor([size], 1, seed));
  return inferring(() => core.add(a, b));
}

function mlp({ sizes: [inputs, hidden, outputs], batch, optimizer }) {
  if (optimizer !== "adam") throw new Error("there is only Adam");
  core.noGradEnd();
  const x = tensor([batch, inputs]);
  const y = Array.from(classes(batch, outputs));
  const parameters = [
    tensor([inputs, hidden], 0.03, 3),
    tensor([hidden], 0),
    tensor([hidden, outputs], 0.03, 4),
    tensor([outputs], 0),
  ];
  for (const parameter of parameters) core.setRequiresGrad(parameter, true);
  let steps = 0;
  return () => {
    const h = core.relu(core.add(core.matmul(x, parameters[0]), parameters[1]));
    core.backward(core.crossEntropyLoss(core.add(core.matmul(h, parameters[2]), parameters[3]), y));
    core.clipAndStep(parameters, 1e-3, 0.9, 0.95, 1e-8, 0, ++steps, 0);
    core.zeroGrad(parameters);
    // Gradients that the list does not name are freed and used all the same.
    const gradients = parameters.map((parameter) => core.getGrad(parameter)).filter((id) => id != null);
    core.gcTensors([x, ...parameters, ...gradients]);
  };
}

await serve(`@mni-ml/framework ${version}`, { matmul, add, mlp });
