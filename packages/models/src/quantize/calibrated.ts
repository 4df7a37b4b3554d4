import { UsageError } from "@openelm/native";
import { QuantizedEmbedding, QuantizedLinear } from "@openelm/nn";
import type { DeviceLike } from "@openelm/tensor";
import type { CodeOptions } from "../convert/convert.js";
import { plainDtype } from "../convert/recode.js";
import type { ModelSource } from "../convert/source.js";
import { type Rows, rowBytes, rowLength, type ScaleName, type Weight } from "../convert/weight.js";
import { CORENET_NAMES } from "../openelm/checkpoint-names.js";
import { OpenELM } from "../openelm/model.js";
import { type CalibrationProgress, calibrate } from "./calibrate.js";

/** Text for GPTQ, and where it runs. */
export interface Calibration {
  /** Texts as token numbers, of the model's own tokenizer; some tens of thousands of tokens are enough. */
  readonly sequences: readonly Int32Array[];
  /** Where the model runs. Default: that of `withDefaults`, else the CPU. */
  readonly device?: DeviceLike | undefined;
}

/** A source whose chosen weights are codes that {@link calibrate} made. */
export async function calibrated(
  source: ModelSource,
  { sequences, device }: Calibration,
  { bits, group }: CodeOptions,
  chosen: readonly string[],
  {
    dtype,
    signal,
    onProgress,
  }: {
    readonly dtype?: ScaleName | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly onProgress?: ((progress: CalibrationProgress) => void) | undefined;
  },
): Promise<ModelSource> {
  if (source.format !== "hf" && source.format !== "mlx") {
    throw new UsageError(`${source.path} is no folder with config.json; convert it to one to calibrate it`);
  }
  const model = await OpenELM.load(source.path, { device });
  const nameOf = (path: string): string => `${CORENET_NAMES.toFile(path)}.weight`;
  await calibrate(model, {
    sequences,
    bits,
    group,
    filter: (path) => chosen.includes(nameOf(path)),
    scaleDtype: dtype,
    signal,
    onProgress,
  });
  const weights = new Map(source.weights);
  for (const [path, layer] of model.namedModules()) {
    if (!(layer instanceof QuantizedLinear || layer instanceof QuantizedEmbedding)) continue;
    const name = nameOf(path);
    weights.set(name, await inMemory(weights.get(name)!, layer, dtype));
  }
  for (const parameter of model.parameters()) parameter.value.dispose();
  return { ...source, weights };
}

/** The weight of a file with the codes of a layer. */
async function inMemory(
  before: Weight,
  { weight, scales, biases, bits, group }: QuantizedLinear | QuantizedEmbedding,
  dtype: ScaleName | undefined,
): Promise<Weight> {
  const [data, scaleBytes, biasBytes] = await Promise.all(
    [weight, scales, biases].map((buffer) => buffer.value.bytes()),
  );
  const encoding = { kind: "affine", bits, group, scales: dtype ?? plainDtype(before.encoding) } as const;
  const size = rowBytes(encoding, rowLength(before));
  return {
    name: before.name,
    shape: before.shape,
    encoding,
    rows: (start, end): Promise<Rows> =>
      Promise.resolve({
        data: data!.subarray(start * size.data, end * size.data),
        scales: scaleBytes!.subarray(start * size.scales, end * size.scales),
        biases: biasBytes!.subarray(start * size.scales, end * size.scales),
      }),
  };
}
