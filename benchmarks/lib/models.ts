import { inference } from "@openelm/autograd";
import type { OpenELM, OpenELMOptions } from "@openelm/models";
import { sum, uniform } from "@openelm/tensor";
import type { Bound } from "./compare.js";
import { type Contender, ours } from "./turns.js";

/** The quickstart's model and two of the sizes that peers were measured with. */
export const MODELS = {
  L6d192: {
    layers: 6,
    modelDim: 192,
    headDim: 32,
    vocabSize: 2048,
    attention: [0.5, 1],
    feedForward: [1, 3],
    feedForwardDivisor: 32,
  },
  L8d256: {
    layers: 8,
    modelDim: 256,
    headDim: 64,
    vocabSize: 4096,
    headsPerKvHead: 4,
    attention: [0.5, 1],
    feedForward: [0.5, 4],
  },
} as const satisfies Record<string, OpenELMOptions>;

/** The same model as the PyTorch peer takes it. */
export const peerModel = ({ config }: OpenELM): object => ({
  dim: config.modelDim,
  headDim: config.headDim,
  vocab: config.vocabSize,
  context: config.maxContextLength,
  layers: config.layerShapes,
});

/** As `ours`, with no gradient recorded. */
export const inferring = (fn: () => unknown): Contender => ours(() => inference(() => void fn()));

/** Every weight takes part in each token; a sum of an array that no cache holds reads memory as fast. */
export function bytesOnce(model: OpenELM): Bound {
  const size = 1 << 26;
  const x = uniform([size]);
  const bytes = model.parameters().reduce((total, { value }) => total + value.byteLength, 0);
  return { contender: ours(() => sum(x)), work: (4 * size) / bytes };
}
