//! Quantized weights against MLX, and blocks of GGUF files against the gguf package.
import {
  type BlockFormat,
  type DType,
  QuantizedTensor,
  type Safetensors,
  type Tensor,
} from "@openelm/tensor";
import type { Goldens } from "./files.js";
import type { Report } from "./report.js";

interface Case {
  readonly case: string;
  readonly dtype?: "float32" | "float16" | "bfloat16";
  readonly bits?: number;
  readonly group_size?: number;
}

interface Golden {
  readonly x: { readonly fill: string; readonly shape: readonly number[] };
  readonly xt: { readonly fill: string; readonly shape: readonly number[] };
  readonly cases: readonly Case[];
}

const DTYPES = { float32: "f32", float16: "f16", bfloat16: "bf16" } as const satisfies Record<string, DType>;

/** Of products: f32 sums of another order; MLX rounds half-precision weights before they meet `x`. */
const PRODUCT = { f32: 1e-5, f16: 2e-3, bf16: 1.6e-2 } as const;
/** Of weights: f32 in one fused step or two; MLX computes half-precision ones in their dtype. */
const WEIGHT = { f32: 1e-7, f16: 1e-3, bf16: 8e-3 } as const;

export async function checkQuantized(goldens: Goldens, report: Report): Promise<void> {
  const golden = await goldens.json<Golden>("quant.json");
  const tensors = await goldens.tensors("quant.safetensors");
  const [x, xt] = [golden.x, golden.xt].map(({ fill, shape }) => goldens.fill.tensor(fill, shape));
  for (const c of golden.cases) {
    if (c.dtype !== undefined) await checkAffine(c, tensors, [x!, xt!], report);
    else if (tensors.has(`${c.case}.dequantized`)) await checkBlocks(c, tensors, report);
  }
  tensors.dispose();
}

async function checkAffine(
  { case: name, dtype: from, bits, group_size: group }: Case,
  tensors: Safetensors,
  [x, xt]: readonly [Tensor, Tensor],
  report: Report,
): Promise<void> {
  const dtype = DTYPES[from!];
  const w = tensors.get("mlx.w")!.to(dtype);
  const q = QuantizedTensor.from(w, { bits, group });
  report.same("quantized", `${name} codes`, await list(q.codes), await list(tensors.get(`${name}.packed`)!));
  for (const part of ["scales", "biases"] as const) {
    const wanted = await list(tensors.get(`${name}.${part}`)!);
    report.same("quantized", `${name} ${part}`, await list(q[part]), wanted);
  }
  const close = async (what: string, got: Tensor, allowed: number): Promise<void> => {
    const wanted = tensors.get(`${name}.${what}`);
    if (wanted === undefined) return;
    report.close("quantized", `${name} ${what}`, await list(got), await list(wanted), allowed);
  };
  await close("dequantized", q.dequantize(), WEIGHT[dtype]);
  await close("y", q.multiply(x.to(dtype)), PRODUCT[dtype]);
  await close("yt", q.multiply(xt.to(dtype), { transpose: false }), PRODUCT[dtype]);
}

async function checkBlocks({ case: name }: Case, tensors: Safetensors, report: Report): Promise<void> {
  const blocks = tensors.get(`${name}.blocks`)!;
  const wanted = tensors.get(`${name}.dequantized`)!;
  const format = name.replace("gguf.", "") as BlockFormat;
  const q = QuantizedTensor.fromBlocks((await blocks.data()) as Uint8Array, format, wanted.shape);
  const got = q.dequantize({ dtype: "f32" });
  report.same("quantized", `${name} weights`, await list(got), await list(wanted));
}

const list = async (tensor: Tensor): Promise<number[]> => Array.from(await tensor.data(), Number);
