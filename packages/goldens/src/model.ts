//! Whole models: logits, losses, every gradient, accumulation, ten optimizer steps, greedy decoding, chunked caches.
import { valueAndGrad } from "@openelm/autograd";
import { CORENET_NAMES, type LossBatch, OpenELM } from "@openelm/models";
import { concat, FormatError, globalNorm, type Safetensors, type Tensor, tensor } from "@openelm/tensor";
import { AdamW, clipGlobalNorm, cosineSchedule } from "@openelm/train";
import type { Goldens } from "./files.js";
import type { Report } from "./report.js";

interface ModelConfig {
  readonly layers: number;
  readonly dim: number;
  readonly head_dim: number;
  readonly vocab: number;
  readonly groups: number;
  readonly qkv_mult: readonly number[];
  readonly ffn_mult: readonly number[];
  readonly ffn_divisor: number;
  readonly tied?: boolean;
  readonly qk_norm?: boolean;
  readonly pad?: number;
}

interface ModelCase {
  readonly config: ModelConfig;
  readonly q_heads: readonly number[];
  readonly kv_heads: readonly number[];
  readonly ffn_dims: readonly number[];
  readonly ids: readonly (readonly number[])[];
  readonly targets: readonly (readonly number[])[];
  readonly ignore_index: number;
  readonly parameters: number;
  readonly losses: readonly {
    readonly z_eps: number;
    readonly ce: number;
    readonly z: number;
    readonly z_corenet: number;
  }[];
  readonly accumulation: Readonly<
    Record<
      "sum_of_means" | "mean_of_means" | "mean_over_all_valid_tokens",
      { readonly loss: number; readonly grad_norm: number }
    >
  >;
  readonly training: Training;
  readonly greedy: {
    readonly prompt: readonly (readonly number[])[];
    readonly new: readonly (readonly number[])[];
  };
  readonly chunks_that_must_give_the_same_logits: readonly number[];
}

interface Training {
  readonly optimizer: {
    readonly betas: readonly [number, number];
    readonly eps: number;
    readonly weight_decay_matrices: number;
    readonly clip: number;
    readonly z_eps: number;
    readonly max_lr: number;
    readonly min_lr: number;
    readonly warmup: number;
    readonly max_it: number;
    readonly warmup_init: number;
  };
  readonly log_f64: readonly {
    readonly it: number;
    readonly lr: number;
    readonly ce: number;
    readonly z: number;
    readonly grad_norm_before_clip: number;
  }[];
  readonly final_f64: Readonly<
    Record<string, { readonly abs_sum: number; readonly l2: number; readonly first: readonly number[] }>
  >;
}

/** The options of our model for a configuration in the goldens' words. */
export function modelOf(c: ModelConfig): OpenELM {
  return new OpenELM({
    vocabSize: c.vocab,
    layers: c.layers,
    modelDim: c.dim,
    headDim: c.head_dim,
    headsPerKvHead: c.groups,
    attention: c.qkv_mult,
    feedForward: c.ffn_mult,
    feedForwardDivisor: c.ffn_divisor,
    tied: c.tied ?? true,
    qkNorm: c.qk_norm ?? true,
    ...(c.pad === undefined ? {} : { paddingIndex: c.pad }),
  });
}

/** One configuration of the goldens with what its checks share. */
interface Context {
  readonly name: string;
  readonly golden: ModelCase;
  readonly goldens: Goldens;
  readonly tensors: Safetensors;
  readonly report: Report;
}

const LOGITS = 2e-5;
const GRADIENTS = 1e-5;
const LOSS = 1e-5;
const PARAMETERS = 1e-5;

export async function checkModels(goldens: Goldens, report: Report): Promise<void> {
  const { configs } = await goldens.json<{ configs: Record<string, ModelCase> }>("model.json");
  const tensors = await goldens.tensors("model.safetensors");
  for (const [name, golden] of Object.entries(configs)) {
    const context = { name, golden, goldens, tensors, report };
    const model = await load(context);
    checkShapes(context, model);
    await checkLogits(context, model);
    await checkLosses(context, model);
    await checkGradients(context, model);
    await checkAccumulation(context, model);
    await checkGreedy(context, model);
    await checkChunks(context, model);
    await checkTraining(context);
  }
  tensors.dispose();
}

async function load({ golden, goldens }: Context): Promise<OpenELM> {
  const model = modelOf(golden.config);
  const weights = Array.from(model.namedParameters(), ([path, { shape }]): [string, Tensor] => {
    const name = CORENET_NAMES.toFile(path);
    return [name, goldens.fill.weight(name, shape)];
  });
  return model.load(new Map(weights), { names: CORENET_NAMES });
}

function checkShapes({ name, golden, report }: Context, model: OpenELM): void {
  const { layerShapes } = model.config;
  report.same(
    "shapes",
    `${name} query heads`,
    layerShapes.map((s) => s.queryHeads),
    golden.q_heads,
  );
  report.same(
    "shapes",
    `${name} kv heads`,
    layerShapes.map((s) => s.kvHeads),
    golden.kv_heads,
  );
  report.same(
    "shapes",
    `${name} feed-forward widths`,
    layerShapes.map((s) => s.feedForwardDim),
    golden.ffn_dims,
  );
  report.same("shapes", `${name} parameters`, model.parameterCount(), golden.parameters);
}

const grid = (rows: readonly (readonly number[])[]): Tensor =>
  tensor(Int32Array.from(rows.flat()), { shape: [rows.length, rows[0]!.length] });

const counted = ({ targets, ignore_index }: ModelCase): number =>
  targets.flat().filter((id) => id !== ignore_index).length;

async function checkLogits({ name, golden, tensors, report }: Context, model: OpenELM): Promise<void> {
  const got = await model.forward(grid(golden.ids)).data();
  report.close(
    "logits",
    `${name} logits`,
    got as Float32Array,
    await want(tensors, `${name}.logits`),
    LOGITS,
  );
}

async function want(tensors: Safetensors, name: string): Promise<Float32Array> {
  const found = tensors.get(name);
  if (found === undefined) throw new FormatError(`the goldens have no tensor ${name}`);
  return (await found.data()) as Float32Array;
}

async function checkLosses({ name, golden, report }: Context, model: OpenELM): Promise<void> {
  const batch = { inputs: grid(golden.ids), targets: grid(golden.targets), tokens: counted(golden) };
  for (const { z_eps: zLoss, ...expected } of golden.losses) {
    for (const zLossMode of ["valid", "corenet"] as const) {
      const { ce, z } = model.loss(batch, { zLoss, zLossMode, ignoreIndex: golden.ignore_index });
      const wanted = zLossMode === "valid" ? expected.z : expected.z_corenet;
      report.close("losses", `${name} ce, z-loss ${zLoss}`, [await ce.item()], [expected.ce], LOSS);
      report.close("losses", `${name} ${zLossMode} z-loss ${zLoss}`, [await z.item()], [wanted], LOSS);
    }
  }
}

/** Loss and gradients of the rows `rows` of the case's batch, divided by `tokens`. */
function gradients(
  { golden, goldens }: Context,
  model: OpenELM,
  rows: readonly number[],
  tokens: number,
  weight = 1,
) {
  const pick = (all: readonly (readonly number[])[]): Tensor => grid(rows.map((row) => all[row]!));
  const batch: LossBatch = { inputs: pick(golden.ids), targets: pick(golden.targets), tokens };
  const options = { zLoss: goldens.params.model.z_eps_grad, ignoreIndex: golden.ignore_index };
  return valueAndGrad((model: OpenELM) => model.loss(batch, options).loss.mul(weight))(model);
}

async function checkGradients(context: Context, model: OpenELM): Promise<void> {
  const { name, golden, tensors, report } = context;
  const { grads } = gradients(
    context,
    model,
    golden.ids.map((_, i) => i),
    counted(golden),
  );
  for (const [path, grad] of grads.entries()) {
    const file = CORENET_NAMES.toFile(path);
    const expected = await want(tensors, `${name}.grad.${file}`);
    report.close(
      "gradients",
      `${name} gradient of ${file}`,
      (await grad!.data()) as Float32Array,
      expected,
      GRADIENTS,
      true,
    );
  }
}

/** Two micro-batches, weighted in three ways. */
async function checkAccumulation(context: Context, model: OpenELM): Promise<void> {
  const { name, golden, report } = context;
  const rowTokens = golden.targets.map((row) => row.filter((id) => id !== golden.ignore_index).length);
  const total = rowTokens.reduce((a, b) => a + b, 0);
  const rules = {
    sum_of_means: (row: number) => [rowTokens[row]!, 1],
    mean_of_means: (row: number) => [rowTokens[row]!, 1 / rowTokens.length],
    mean_over_all_valid_tokens: () => [total, 1],
  } as const;
  for (const [rule, expected] of Object.entries(golden.accumulation)) {
    let loss = 0;
    const sums = new Map<string, Tensor>();
    for (const row of rowTokens.keys()) {
      const [tokens, weight] = rules[rule as keyof typeof rules](row) as [number, number];
      const { value, grads } = gradients(context, model, [row], tokens, weight);
      loss += await value.item();
      for (const [path, grad] of grads.entries()) sums.set(path, sums.get(path)?.add(grad!) ?? grad!);
    }
    report.close("accumulation", `${name} loss, ${rule}`, [loss], [expected.loss], LOSS);
    report.close(
      "accumulation",
      `${name} gradient norm, ${rule}`,
      [await globalNorm([...sums.values()]).item()],
      [expected.grad_norm],
      LOSS,
    );
  }
}

async function checkGreedy({ name, golden, tensors, report }: Context, model: OpenELM): Promise<void> {
  const { prompt, new: expected } = golden.greedy;
  const [batch, count] = [prompt.length, expected[0]!.length];
  using cache = model.newCache({ batch, capacity: prompt[0]!.length + count });
  const wanted = await want(tensors, `${name}.greedy_logits`);
  const vocab = golden.config.vocab;
  let next = grid(prompt);
  const chosen: number[][] = prompt.map(() => []);
  const got = new Float32Array(wanted.length);
  for (let step = 0; step < count; step++) {
    const logits = model.forward(next, { cache });
    const last = logits.at(":", -1) as Tensor;
    got.set(await rows(last, vocab, step, count, got), 0);
    const ids = last.argmax({ axis: -1 });
    const picked = await ids.data();
    for (const [row, id] of Array.from(picked, Number).entries()) chosen[row]!.push(id);
    next = ids.reshape([batch, 1]);
  }
  report.same("greedy", `${name} greedy ids`, chosen, expected);
  report.close("greedy", `${name} greedy logits`, got, wanted, LOGITS);
}

/** `into` `[batch, count, vocab]` with the rows of `last` `[batch, vocab]` at `step`. */
async function rows(
  last: Tensor,
  vocab: number,
  step: number,
  count: number,
  into: Float32Array,
): Promise<Float32Array> {
  const values = (await last.data()) as Float32Array;
  for (let row = 0; row < values.length / vocab; row++) {
    into.set(values.subarray(row * vocab, (row + 1) * vocab), (row * count + step) * vocab);
  }
  return into;
}

async function checkChunks({ name, golden, tensors, report }: Context, model: OpenELM): Promise<void> {
  const [batch, time] = [golden.ids.length, golden.ids[0]!.length];
  using cache = model.newCache({ batch, capacity: time + 3 });
  const ids = grid(golden.ids);
  const parts: Tensor[] = [];
  let at = 0;
  for (const length of golden.chunks_that_must_give_the_same_logits) {
    parts.push(model.forward(ids.at(":", `${at}:${at + length}`) as Tensor, { cache }));
    at += length;
  }
  const all = concat(parts, { axis: 1 });
  report.close(
    "chunks",
    `${name} logits in chunks`,
    (await all.data()) as Float32Array,
    await want(tensors, `${name}.logits`),
    LOGITS,
  );
  const { k, v } = cache.layer(golden.config.layers - 1);
  for (const [which, cached] of Object.entries({ k, v })) {
    const filled = cached.at(":", ":", `:${time}`) as Tensor;
    const expected = await want(tensors, `${name}.cache.${which}_last_layer`);
    report.close(
      "chunks",
      `${name} cached ${which}`,
      (await filled.data()) as Float32Array,
      expected,
      LOGITS,
    );
  }
}

/** Batches of the training check: the last targets of each row are ignored, and where there is a padding token, their inputs. */
function trainingBatch({ golden, goldens }: Context, name: string): LossBatch & { tokens: number } {
  const { B, T } = goldens.params.model;
  const { vocab, pad } = golden.config;
  const ids = goldens.fill.ints(`${name}.ids`, [B, T], vocab - 1);
  const targets = goldens.fill.ints(`${name}.targets`, [B, T], vocab - 1);
  for (let row = 0; row < B; row++) {
    targets.fill(vocab - 1, (row + 1) * T - (3 * row + 1), (row + 1) * T);
    if (pad !== undefined) ids.fill(pad, (row + 1) * T - 3 * row, (row + 1) * T);
  }
  const tokens = targets.filter((id) => id !== vocab - 1).length;
  return { inputs: tensor(ids, { shape: [B, T] }), targets: tensor(targets, { shape: [B, T] }), tokens };
}

async function checkTraining(context: Context): Promise<void> {
  const { name, golden, report } = context;
  const { optimizer: o, log_f64: log, final_f64: final } = golden.training;
  const model = await load(context);
  const optimizer = new AdamW(model, {
    lr: o.max_lr,
    betas: o.betas,
    eps: o.eps,
    weightDecay: o.weight_decay_matrices,
  });
  const schedule = cosineSchedule({
    lr: o.max_lr,
    minLr: o.min_lr,
    warmup: o.warmup,
    warmupLr: o.warmup_init,
    updates: o.max_it,
  });
  const options = { zLoss: o.z_eps, ignoreIndex: golden.ignore_index };
  const step = valueAndGrad((model: OpenELM, batch: LossBatch) => {
    const { loss, ce, z } = model.loss(batch, options);
    return { loss, aux: { ce, z } };
  });
  for (const entry of log) {
    const batch = trainingBatch(context, `step${entry.it % 2}`);
    const lr = schedule(entry.it);
    const { aux, grads } = step(model, batch);
    const { norm, scale, skip } = clipGlobalNorm(grads, o.clip);
    optimizer.step(model, grads, { lr, scale, skip });
    report.close("training", `${name} learning rate at ${entry.it}`, [lr], [entry.lr], 0);
    report.close("training", `${name} ce at ${entry.it}`, [await aux.ce.item()], [entry.ce], LOSS);
    report.close("training", `${name} z at ${entry.it}`, [await aux.z.item()], [entry.z], LOSS);
    report.close(
      "training",
      `${name} gradient norm at ${entry.it}`,
      [await norm.item()],
      [entry.grad_norm_before_clip],
      LOSS,
    );
  }
  for (const [path, parameter] of model.namedParameters()) {
    const file = CORENET_NAMES.toFile(path);
    const expected = final[file]!;
    const values = (await parameter.value.data()) as Float32Array;
    report.close(
      "training",
      `${name} final ${file}`,
      values.subarray(0, expected.first.length),
      expected.first,
      PARAMETERS,
    );
    report.close(
      "training",
      `${name} norm of final ${file}`,
      [Math.hypot(...values)],
      [expected.l2],
      PARAMETERS,
    );
  }
}
