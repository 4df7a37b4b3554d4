//! Single operators with gradients: `loss = Σ output · fill(case.r.output)`.
import { vjp } from "@openelm/autograd";
import * as t from "@openelm/tensor";
import { type Safetensors, type Tensor, tensor } from "@openelm/tensor";
import type { Goldens } from "./files.js";
import type { Report } from "./report.js";

interface InputSpec {
  readonly shape: readonly number[];
  readonly scale: number;
  readonly offset: number;
  readonly fill_name?: string;
}

/** One case; attributes stand beside the fields that all cases have. */
interface OpCase {
  readonly case: string;
  readonly op: string;
  readonly dtype?: string;
  readonly inputs: Readonly<Record<string, InputSpec>>;
  readonly outputs: Readonly<Record<string, readonly number[]>>;
  readonly [attr: string]: unknown;
}

type Named = Record<string, Tensor>;
type OpFunction = (inputs: Named, c: OpCase) => Named;

const TOLERANCE = 1e-5;

const num = (c: OpCase, name: string): number => c[name] as number;

/** Our ops in the goldens' words. */
const OPS: Readonly<Record<string, OpFunction>> = {
  rms_norm: ({ x, w }, c) => ({ y: t.rmsNorm(x!, w!, { eps: num(c, "eps") }) }),
  layer_norm: ({ x, w, b }, c) => ({ y: t.layerNorm(x!, { weight: w!, bias: b!, eps: num(c, "eps") }) }),
  add_rms_norm: ({ x, residual, w }, c) => {
    const { sum, y } = t.addRmsNorm(x!, residual!, w!, { eps: num(c, "eps") });
    return { h: sum, y };
  },
  rope: ({ x }, c) => ({ y: t.rope(x!, { offset: offsets(x!, c), base: num(c, "theta") }) }),
  qk_norm_rope: qkNormRope,
  swiglu: ({ x }) => ({ y: t.swiglu(x!) }),
  silu: ({ x }) => ({ y: t.silu(x!) }),
  relu: ({ x }) => ({ y: t.relu(x!) }),
  gelu: ({ x }) => ({ y: t.gelu(x!) }),
  gelu_tanh: ({ x }) => ({ y: t.gelu(x!, { approximate: "tanh" }) }),
  softmax: ({ x }) => ({ y: t.softmax(x!) }),
  log_softmax: ({ x }) => ({ y: t.logSoftmax(x!) }),
  logsumexp: ({ x }) => ({ y: t.logsumexp(x!, { axis: -1 }) }),
  sdpa: ({ q, k, v }, c) => ({
    y: t.attention(q!, k!, v!, { causal: c.causal as boolean, scale: num(c, "scale") }),
  }),
  linear: ({ x, w }) => ({ y: t.matmul(x!, t.transpose(w!)) }),
  embedding: ({ w }, c) => {
    // Ids of any number of axes, in lists within lists.
    const ids = Int32Array.from((c.ids as unknown[]).flat(Number.POSITIVE_INFINITY) as number[]);
    const paddingIndex = (c.padding_idx as number | null) ?? undefined;
    return { y: t.embedding(w!, tensor(ids, { shape: c.outputs.y!.slice(0, -1) }), { paddingIndex }) };
  },
};

const offsets = (x: Tensor, c: OpCase): Tensor => tensor(new Int32Array(x.shape[0]!).fill(num(c, "offset")));

/** The fused op, with `x` as all of its query heads; keys and values are zeros. */
function qkNormRope({ x, w }: Named, c: OpCase): Named {
  const [batch, heads, time, dim] = x!.shape as [number, number, number, number];
  const queries = x!.permute([0, 2, 1, 3]).reshape([batch, time, heads * dim]);
  const qkv = t.concat([queries, t.zeros([batch, time, 2 * heads * dim])], { axis: -1 });
  const options = { queryHeads: heads, kvHeads: heads, eps: num(c, "eps"), base: num(c, "theta") };
  return { y: t.qkNormRope(qkv, { ...options, qWeight: w!, offset: offsets(x!, c) }).q };
}

/** Loss cases and programs of several calls, which have a form of their own. */
const SPECIAL: Readonly<Record<string, (c: OpCase, context: Context) => Promise<void>>> = {
  cross_entropy: checkCrossEntropy,
  adamw: checkAdamW,
  clip_grad_norm: checkClip,
  f32_to_bf16: checkRounding,
};

interface Context {
  readonly goldens: Goldens;
  readonly tensors: Safetensors;
  readonly report: Report;
}

export async function checkOps(goldens: Goldens, report: Report): Promise<void> {
  const { cases } = await goldens.json<{ cases: OpCase[] }>("ops.json");
  const context = { goldens, tensors: await goldens.tensors("ops.safetensors"), report };
  for (const c of cases) {
    const special = SPECIAL[c.op];
    if (special !== undefined) await special(c, context);
    else if (c.dtype === "bf16") await checkHalf(c, context);
    else await checkOp(c, context);
  }
  context.tensors.dispose();
}

function opOf(c: OpCase): OpFunction {
  const found = OPS[c.op];
  if (found === undefined)
    throw new t.UsageError(`the goldens ask for an op that is not known here: ${c.op}`);
  return found;
}

async function stored({ tensors }: Context, name: string): Promise<Float32Array | undefined> {
  return (await tensors.get(name)?.data()) as Float32Array | undefined;
}

async function checkOp(c: OpCase, context: Context): Promise<void> {
  const { goldens, report } = context;
  const names = Object.keys(c.inputs);
  const inputs = names.map((name) => {
    const { shape, scale, offset, fill_name } = c.inputs[name]!;
    return goldens.fill.tensor(fill_name ?? `${c.case}.${name}`, shape, scale, offset);
  });
  const outputNames = Object.keys(c.outputs);
  const named = (values: readonly Tensor[]): Named =>
    Object.fromEntries(names.map((name, i) => [name, values[i]!]));
  const f = (...values: Tensor[]): Tensor[] => {
    const outputs = opOf(c)(named(values), c);
    return outputNames.map((name) => outputs[name]!);
  };
  const { value, pull } = vjp(f, inputs);
  // Angles at large positions are exact here, so the allowance for f32 angles is not needed.
  for (const [i, name] of outputNames.entries()) {
    const wanted = await stored(context, `${c.case}.${name}`);
    report.close(
      `ops ${c.op}`,
      `${c.case}.${name}`,
      (await value[i]!.data()) as Float32Array,
      wanted!,
      TOLERANCE,
    );
  }
  const cotangents = outputNames.map((name) => goldens.fill.tensor(`${c.case}.r.${name}`, c.outputs[name]!));
  const grads = pull(cotangents) as readonly (Tensor | null)[];
  for (const [i, name] of names.entries()) {
    const wanted = await stored(context, `${c.case}.d${name}`);
    if (wanted === undefined) continue;
    report.close(
      `ops ${c.op}`,
      `${c.case}.d${name}`,
      (await grads[i]!.data()) as Float32Array,
      wanted,
      TOLERANCE,
    );
  }
}

/** Roundings in bf16, bit for bit. */
async function checkHalf(c: OpCase, { goldens, tensors, report }: Context): Promise<void> {
  const inputs = Object.entries(c.inputs).map(([name, { shape, scale, offset }]): [string, Tensor] => [
    name,
    goldens.fill.tensor(`${c.case}.${name}`, shape, scale, offset).to("bf16"),
  ]);
  const { y } = opOf(c)(Object.fromEntries(inputs), c);
  report.same(
    "bf16 bits",
    c.case,
    await bits(y!),
    Array.from(await tensors.get(`${c.case}.y_bits`)!.data(), Number),
  );
}

const bits = async (x: Tensor): Promise<number[]> => {
  const bytes = await x.bytes();
  return Array.from(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2));
};

async function checkRounding(c: OpCase, { tensors, report }: Context): Promise<void> {
  const rounded = tensors.get(`${c.case}.x`)!.to("bf16");
  report.same(
    "bf16 bits",
    c.case,
    await bits(rounded),
    Array.from(await tensors.get(`${c.case}.y_bits`)!.data(), Number),
  );
}

async function checkCrossEntropy(c: OpCase, context: Context): Promise<void> {
  const { goldens, report } = context;
  const { fill_name, shape, scale, offset } = c.inputs.x!;
  const logits = goldens.fill.tensor(fill_name!, shape, scale, offset);
  const targets = tensor(Int32Array.from(c.targets as number[]));
  const valid = num(c, "valid");
  for (const zLossMode of ["valid", "corenet"] as const) {
    const options = { ignoreIndex: num(c, "ignore_index"), zLoss: num(c, "z_eps"), zLossMode };
    const { ce, z } = t.crossEntropy(logits, targets, options);
    report.close("ops cross_entropy", `${c.case} ce`, [(await ce.item()) / valid], [num(c, "ce")], TOLERANCE);
    const wanted = num(c, zLossMode === "valid" ? "z" : "z_corenet");
    report.close(
      "ops cross_entropy",
      `${c.case} z, ${zLossMode}`,
      [(await z.item()) / valid],
      [wanted],
      TOLERANCE,
    );
    const { pull } = vjp((x: Tensor) => t.crossEntropy(x, targets, options).loss.div(valid), [logits]);
    const [grad] = pull(t.ones([]));
    const expected = await stored(context, `${c.case}.dx`);
    if (expected)
      report.close(
        "ops cross_entropy",
        `${c.case} dx, ${zLossMode}`,
        (await grad.data()) as Float32Array,
        expected,
        TOLERANCE,
      );
  }
}

async function checkAdamW(c: OpCase, context: Context): Promise<void> {
  const { goldens, report } = context;
  const [beta1, beta2] = c.betas as [number, number];
  const n = num(c, "n");
  const [p, m, v] = [goldens.fill.tensor(`${c.case}.p`, [n]), t.zeros([n]), t.zeros([n])];
  const f32 = (value: number): Tensor => tensor(value, { dtype: "f32" });
  for (let step = 0; step < num(c, "steps"); step++) {
    const grad = goldens.fill.tensor(`${c.case}.g${step}`, [n], 10 ** (step - 3));
    const options = { beta1, beta2, eps: num(c, "eps"), weightDecay: num(c, "weight_decay") };
    t.adamw(f32(num(c, "lr")), f32(step + 1), f32(1), f32(0), [p], [grad], [m], [v], options);
  }
  for (const [name, got] of Object.entries({ p, m, v })) {
    const wanted = await stored(context, `${c.case}.${name}`);
    report.close("ops adamw", `${c.case}.${name}`, (await got.data()) as Float32Array, wanted!, TOLERANCE);
  }
}

async function checkClip(c: OpCase, { goldens, report }: Context): Promise<void> {
  const grads = [31, 64, 7].map((n, i) => goldens.fill.tensor(`clip.g${i}`, [n], 3));
  const norm = await t.globalNorm(grads).item();
  report.close("ops clip", "global norm", [norm], [num(c, "norm")], TOLERANCE);
  report.close(
    "ops clip",
    "coefficient",
    [Math.min(1, num(c, "max_norm") / (norm + 1e-6))],
    [num(c, "coefficient")],
    TOLERANCE,
  );
}
