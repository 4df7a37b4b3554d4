//! A model in full precision as a folder whose matrices are codes of a few bits.
import { UsageError } from "@openelm/native";
import { checkGroups } from "../convert/check-options.js";
import {
  type CodeOptions,
  type Converted,
  isRounded,
  layerName,
  refuseSame,
  writeModel,
} from "../convert/convert.js";
import { openModel } from "../convert/open-model.js";
import type { ModelSource } from "../convert/source.js";
import { byteLength, type ScaleName, type Weight } from "../convert/weight.js";
import type { ConvertProgress } from "../convert/write-weight.js";
import type { CalibrationProgress } from "./calibrate.js";
import { type Calibration, calibrated } from "./calibrated.js";

/** Options of {@link quantizeModel}. */
export interface QuantizeModelOptions extends Partial<CodeOptions> {
  /** Dtype of scales, biases and what stays as it is. Default: as in the source. */
  readonly dtype?: ScaleName | undefined;
  /**
   * Text by which GPTQ rounds: what one weight is off, those not yet rounded make good, as far as the layer's output
   * on this text shows it. Default: each weight goes to the nearest code by itself.
   */
  readonly calibration?: Calibration | undefined;
  /** Whether a folder that is there is replaced. Default `false`. */
  readonly replace?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress | CalibrationProgress) => void) | undefined;
}

/** What became of a model. */
export interface QuantizedModel extends Converted {
  /** Of all weights before. */
  readonly bytesBefore: number;
  /** Layers that are codes now. */
  readonly layers: number;
  /** Layers that could be and are not, by their names in the folder. */
  readonly kept: readonly string[];
  /** Of all weights, scales and biases included. */
  readonly bitsPerWeight: number;
}

/**
 * Rounds the matrices of a model to codes of a few bits and writes it as a folder that mlx-lm and
 * {@link OpenELM.load} read.
 *
 * All linear layers and embeddings become codes whose rows are whole groups, as with mlx-lm, but for those in `keep`.
 * Rounded to the nearest, weights go through memory some rows at a time; with a `calibration` the model is loaded.
 *
 * @throws UsageError if the source is in codes already or the destination is filled; FileError, FormatError naming file
 * and byte.
 * @example
 * ```ts no-run
 * const { bytesBefore, bytes } = await quantizeModel("OpenELM-1_1B", "OpenELM-1_1B-4bit", { bits: 4, keep: [/lm_head/] });
 * ```
 */
export async function quantizeModel(
  source: string,
  destination: string,
  { bits = 4, group = 64, keep = [], calibration, ...options }: QuantizeModelOptions = {},
): Promise<QuantizedModel> {
  const codes = { bits, group, keep };
  checkGroups(codes);
  refuseSame(source, destination);
  const opened = await openModel(source);
  try {
    const chosen = chosenLayers(opened, codes);
    const model =
      calibration === undefined ? opened : await calibrated(opened, calibration, codes, chosen, options);
    const bytesBefore = [...opened.weights.values()].reduce((sum, weight) => sum + byteLength(weight), 0);
    const made = await writeModel(model, destination, { to: "mlx", quantize: codes, ...options });
    return {
      ...made,
      bytesBefore,
      layers: chosen.length,
      kept: matrices(opened).flatMap(({ name }) => (chosen.includes(name) ? [] : layerName(name))),
      bitsPerWeight: (8 * made.bytes) / made.parameters,
    };
  } finally {
    await opened.close();
  }
}

const matrices = ({ weights }: ModelSource): Weight[] =>
  [...weights.values()].filter(({ shape }) => shape.length >= 2);

/** Names of the weights that become codes. */
function chosenLayers(source: ModelSource, codes: CodeOptions): string[] {
  const before = matrices(source).find(({ encoding }) => encoding.kind !== "plain");
  if (before !== undefined) {
    throw new UsageError(
      `${source.path} is quantized already (${before.name}); begin with the model that it was made from`,
    );
  }
  const chosen = matrices(source).filter((weight) => isRounded(weight, codes));
  if (chosen.length > 0) return chosen.map(({ name }) => name);
  throw new UsageError(
    `no layer of ${source.path} would be quantized: all are kept, or no row is made of whole groups of ${codes.group}`,
  );
}
