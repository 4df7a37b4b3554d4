//! From a configuration to a trainer.
import { basename, extname, join } from "node:path";
import { openShards, PackedLoader, type PackedLoaderOptions, type Tokenizer } from "@openelm/data";
import {
  type GenerateOptions,
  generate,
  HF_NAMES,
  OPENELM_SIZES,
  OpenELM,
  type OpenELMConfig,
  type OpenELMOptions,
  openelmConfig,
  saveAdapter,
  toHFConfig,
} from "@openelm/models";
import { ConfigError } from "@openelm/native";
import { LoRA, QuantizedLinear } from "@openelm/nn";
import { withDefaults } from "@openelm/tensor";
import {
  AdamW,
  type Batch,
  configSchedule,
  type ModelFiles,
  modelFiles,
  type Optimizer,
  SGD,
  type TrainConfig,
  type TrainEvent,
  Trainer,
  type TrainerOptions,
  writeFileDurably,
} from "@openelm/train";
import { findModelFolder } from "./model-folder.js";
import { type RunProgress, readProgress } from "./progress.js";
import { countedTargets, type PreparedCorpus } from "./text.js";
import { timedSchedule } from "./timed-schedule.js";

/** A run that is ready to start. */
export interface AssembledRun {
  readonly folder: string;
  readonly model: OpenELM;
  /** What is trained of it, where that is an adapter. */
  readonly lora: LoRA | undefined;
  /** The folder that the model was loaded from. */
  readonly base: string | undefined;
  readonly tokenizer: Tokenizer;
  readonly trainer: Trainer;
  /** Batches of held-out text, the same each time; undefined where nothing is held out. */
  readonly heldOut: (() => AsyncIterable<Batch>) | undefined;
}

/** What a model wrote. */
export interface Answer {
  readonly prompt: string;
  readonly text: string;
}

/** Changes to what a configuration says, for callers with a loop of their own. */
export interface AssembleOptions {
  readonly folder: string;
  /** Leaves evaluation and samples to the caller. */
  readonly train?: Partial<TrainerOptions>;
}

/** The folder of a run: what the configuration says, or `runs/` and the name of its file. */
export function runFolder({ folder }: TrainConfig, source: string): string {
  return folder ?? join("runs", basename(source, extname(source)));
}

/** Makes model, optimizer, loader and trainer. Weights are made at the first step. */
export async function assemble(
  config: TrainConfig,
  corpus: PreparedCorpus,
  options: AssembleOptions,
): Promise<AssembledRun> {
  const { tokenizer, shards, manifest } = corpus;
  const { folder } = options;
  const { model, base } = await makeModel(config, tokenizer);
  const lora = makeAdapter(config, model);
  const optimizer = makeOptimizer(config, model);
  const { sequences, sequenceLength, accumulate, documentMask } = config.batch;
  const shape: PackedLoaderOptions = { sequenceLength, batchSize: sequences, documentMask };
  const loader = new PackedLoader(await openShards(shards), { ...shape, seed: config.seed });
  await loader.ready();
  const hasHeldOut = manifest.validation.documents > 0;
  const validation = hasHeldOut ? await openShards(shards, { split: "validation" }) : undefined;
  const heldOut = validation && (() => new PackedLoader(validation, { ...shape, shuffle: false, epochs: 1 }));
  const bytesPerToken = manifest.validation.textBytes / countedTargets(manifest.validation);
  const timing = timingOf(config, await readProgress(folder));
  const trainer = new Trainer({
    model,
    optimizer,
    loader,
    folder,
    accumulate,
    precision: config.precision,
    capture: config.capture,
    clip: config.optim.clip,
    maxSkips: config.maxSkips,
    loss: { ...config.loss, ignoreIndex: -100 },
    checkpoint: {
      ...config.checkpoint,
      files:
        lora === undefined
          ? modelFiles(model, { names: HF_NAMES, extras: (place) => writeExtras(model, tokenizer, place) })
          : adapterFiles(model, lora),
    },
    tensorboard: config.log.tensorboard,
    ...(heldOut
      ? {
          evaluation: {
            every: config.eval.every,
            batches: () => first(heldOut(), config.eval.batches),
            bytesPerToken,
          },
        }
      : {}),
    ...(config.sample
      ? { sample: { every: config.sample.every, run: () => answer(model, tokenizer, config.sample!) } }
      : {}),
    ...timing,
    ...options.train,
  });
  return { folder, model, lora, base, tokenizer, trainer, heldOut };
}

/** When the run ends, and the learning rates until then. */
function timingOf(config: TrainConfig, before: RunProgress | undefined): Partial<TrainerOptions> {
  const { steps, tokens, minutes, batch } = config;
  const perUpdate = batch.sequences * batch.sequenceLength * batch.accumulate;
  // Nearly all positions of packed rows count, so this is about the number of updates.
  const updates = steps ?? (tokens === undefined ? undefined : Math.ceil(tokens / perUpdate));
  const limits = { steps, tokens, minutes };
  if (updates !== undefined) return { ...limits, schedule: configSchedule(config, updates) };
  const { schedule, follow } = timedSchedule(config, before);
  return { ...limits, schedule, onEvent: (event: TrainEvent) => follow(event) };
}

/** A new model, or one of a folder to go on from. */
async function makeModel(
  config: TrainConfig,
  tokenizer: Tokenizer,
): Promise<{ readonly model: OpenELM; readonly base: string | undefined }> {
  const { model: asked, device, seed } = config;
  if (typeof asked === "string" && !Object.hasOwn(OPENELM_SIZES, asked)) {
    const base = await findModelFolder(asked);
    const model = await loadBase(base, config);
    checkVocabulary(model.config, tokenizer);
    return { model, base };
  }
  const { size, ...changes } = typeof asked === "string" ? { size: asked } : asked;
  const known = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  const ids = { bosId: tokenizer.bosId ?? 1, eosId: tokenizer.eosId ?? 2 };
  const options = { vocabSize: tokenizer.vocabSize, ...ids, ...known } as OpenELMOptions;
  const full = openelmConfig((size ?? options) as never, options);
  checkVocabulary(full, tokenizer);
  return { model: withDefaults({ device, seed }, () => new OpenELM(full)), base: undefined };
}

/** Weights that are trained are f32; those beside an adapter stay as they are. */
async function loadBase(folder: string, { lora, device }: TrainConfig): Promise<OpenELM> {
  const model = await OpenELM.load(folder, { device, ...(lora === undefined ? { dtype: "f32" } : {}) });
  const codes = [...model.namedModules()].find(([, layer]) => layer instanceof QuantizedLinear);
  if (lora === undefined && codes !== undefined) {
    throw new ConfigError(
      `${folder} is quantized (${codes[0]}), and codes are not trained; set lora to train beside them`,
    );
  }
  return model;
}

function checkVocabulary({ vocabSize }: OpenELMConfig, tokenizer: Tokenizer): void {
  if (vocabSize >= tokenizer.vocabSize) return;
  throw new ConfigError(`the model has ${vocabSize} tokens, the tokenizer ${tokenizer.vocabSize}`);
}

function makeAdapter({ lora: asked, device, seed }: TrainConfig, model: OpenELM): LoRA | undefined {
  if (asked === undefined) return undefined;
  const { targets, ...options } = asked;
  const lora = new LoRA({ ...options, targets: targets === undefined ? undefined : pattern(targets) });
  withDefaults({ device, seed }, () => model.apply(lora));
  return lora;
}

function pattern(targets: string): RegExp {
  try {
    return new RegExp(targets);
  } catch (cause) {
    throw new ConfigError(`lora.targets must be a regular expression: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Checkpoints hold the adapter alone: all else stays as it was loaded. */
function adapterFiles(model: OpenELM, lora: LoRA): ModelFiles {
  const paths = new Set(Array.from(lora.namedParameters(), ([path]) => path));
  return modelFiles(model, { only: (path) => paths.has(path) });
}

function makeOptimizer({ optim }: TrainConfig, model: OpenELM): Optimizer {
  const { kind, clip: _, ...options } = optim;
  return kind === "adamw" ? new AdamW(model, options as never) : new SGD(model, options as never);
}

/** What makes a folder with weights a model that other programs load. */
async function writeExtras(model: OpenELM, tokenizer: Tokenizer, folder: string): Promise<void> {
  await writeFileDurably(
    join(folder, "config.json"),
    `${JSON.stringify(toHFConfig(model.config), null, 2)}\n`,
  );
  await tokenizer.save(folder);
}

/** Writes the finished model to `folder/model`, or what was trained beside it to `folder/adapter`. */
export async function saveModel({ model, lora, base, tokenizer, folder }: AssembledRun): Promise<string> {
  if (lora !== undefined) {
    const target = join(folder, "adapter");
    await saveAdapter(model, lora, target, { base, replace: true });
    return target;
  }
  const target = join(folder, "model");
  await tokenizer.save(target);
  await model.save(join(target, "model.safetensors"), { names: HF_NAMES, metadata: { format: "pt" } });
  // The configuration comes last: a folder with one is a whole model.
  await writeFileDurably(
    join(target, "config.json"),
    `${JSON.stringify(toHFConfig(model.config), null, 2)}\n`,
  );
  return target;
}

/** Answers of a model to prompts, the same for the same weights. */
export async function answer(
  model: OpenELM,
  tokenizer: Tokenizer,
  { prompts, maxTokens }: { readonly prompts: readonly string[]; readonly maxTokens: number },
  sampling: Partial<GenerateOptions> = { temperature: 0.7, topP: 0.9 },
): Promise<Answer[]> {
  const answers: Answer[] = [];
  const { training } = model;
  model.eval();
  for (const prompt of prompts) {
    const { text } = await generate(model, prompt, { tokenizer, maxTokens, ...sampling }).result();
    answers.push({ prompt, text });
  }
  if (training) model.train();
  return answers;
}

async function* first<T>(items: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  let left = count;
  for await (const item of items) {
    if (left-- <= 0) return;
    yield item;
  }
}
