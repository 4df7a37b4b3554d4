//! Rounds a model layer by layer for the inputs that text gives its layers.
import { gptq } from "@openelm/nn";
import { type QuantizationOptions, type Tensor, tensor, UsageError } from "@openelm/tensor";
import type { OpenELM } from "../openelm/model.js";
import { type Place, placesOf } from "./places.js";
import { Stream } from "./stream.js";

/** How far a calibration is. */
export interface CalibrationProgress {
  readonly phase: "calibrate";
  readonly done: number;
  readonly total: number;
  readonly unit: "layers";
}

/** Options of {@link calibrate}. */
export interface CalibrateOptions extends QuantizationOptions {
  /** Texts as token numbers; each is seen by itself, from its own beginning. */
  readonly sequences: readonly Int32Array[];
  /** Whether the layer at `path` is quantized. Default: all are. */
  readonly filter?: ((path: string) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: CalibrationProgress) => void) | undefined;
}

/**
 * Replaces the linear layers and embeddings of a model by quantized ones, in place, each rounded by `gptq` for the inputs
 * that it has when the layers before it are quantized already.
 *
 * An embedding that serves as the output layer too is rounded for what the unquantized model gives it there; in one that
 * is looked up alone, each weight is rounded by itself.
 *
 * @returns How many layers were replaced.
 * @throws UsageError if there are no sequences, ids are none of the model's, or rows are not whole groups; nothing is
 * changed then.
 * @example
 * ```ts no-run
 * const sequences = [await tokenizer.encode("The sea is wide.")];
 * await calibrate(model, { sequences, bits: 4, group: 64, filter: (path) => path !== "classifier" });
 * ```
 * @see Frantar et al., 2022, "GPTQ", arXiv:2210.17323
 */
export async function calibrate(model: OpenELM, options: CalibrateOptions): Promise<number> {
  const { sequences, filter = () => true, signal, onProgress } = options;
  const places = placesOf(model).filter(({ path }) => filter(path));
  checkSequences(model, sequences);
  checkRows(places, options.group ?? 64);
  const { device } = model.norm.weight;
  const ids = sequences.map((ids) => tensor(ids, { shape: [1, ids.length], dtype: "i32", device }));
  let done = 0;
  const round = async (path: string, moments: () => Promise<Tensor | undefined>): Promise<void> => {
    const place = places.find((place) => place.path === path);
    if (place === undefined) return;
    const inputs = await moments();
    place.put(await gptq(place.layer.weight.value, inputs, options));
    inputs?.dispose();
    done++;
    onProgress?.({ phase: "calibrate", done, total: places.length, unit: "layers" });
  };
  const { training } = model;
  model.eval();
  const stream = new Stream(signal);
  try {
    const isHead = model.classifier === undefined;
    await round("tokenEmbeddings", async () =>
      isHead ? stream.moments(ids, (ids) => model.hidden(ids)) : undefined,
    );
    await stream.begin(ids, (ids) => model.tokenEmbeddings.forward(ids));
    for (const [i, layer] of model.layers.entries()) {
      const forward = (x: Tensor): Tensor => layer.forward(x);
      for (const place of places.filter(({ path }) => path.startsWith(`layers.${i}.`))) {
        await round(place.path, () => stream.momentsInside(place, forward));
      }
      await stream.advance(forward);
    }
    await round("classifier", () => stream.moments(stream.hidden, (x) => model.norm.forward(x)));
  } finally {
    stream.dispose();
    for (const each of ids) each.dispose();
    if (training) model.train();
  }
  return done;
}

/** @throws UsageError if there is nothing to see, or ids are none of the model's. */
function checkSequences({ config }: OpenELM, sequences: readonly Int32Array[]): void {
  if (sequences.length === 0 || sequences.some((ids) => ids.length === 0)) {
    throw new UsageError("calibrate: there must be sequences, and each must have tokens");
  }
  const wrong = sequences.flatMap((ids) => ids.find((id) => id < 0 || id >= config.vocabSize) ?? [])[0];
  if (wrong === undefined) return;
  throw new UsageError(
    `calibrate: the model has ${config.vocabSize} tokens, and none with the number ${wrong}`,
  );
}

/** @throws UsageError naming the layers whose rows are not whole groups. */
function checkRows(places: readonly Place[], group: number): void {
  const unfit = places.filter(({ layer }) => layer.weight.shape[1]! % group !== 0);
  if (unfit.length === 0) return;
  const named = unfit.map(({ path, layer }) => `${path} (${layer.weight.shape[1]})`).join(", ");
  throw new UsageError(
    `calibrate: rows of these layers are not whole groups of ${group}: ${named}; exclude them with filter`,
  );
}
