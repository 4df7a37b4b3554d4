import { OpError } from "@openelm/native";
import { type CreateOptions, tensor } from "../create.js";
import type { DType } from "../dtype.js";
import type { IndexOperand } from "../funnel.js";
import { dequantize, embedding, quantize, quantizedMatmul, take } from "../generated/ops.js";
import { scope } from "../scope.js";
import type { Shape, Tensor } from "../tensor.js";
import { TREE, type TreeEntry, type TreeNode } from "../tree.js";
import { BLOCK, type BlockFormat, unpackBlocks } from "./blocks.js";

/** Dtypes that scales and biases have. */
export type ScaleDType = "f32" | "bf16" | "f16";

/** Options of {@link QuantizedTensor.from}. */
export interface QuantizationOptions {
  /** Bits of a code, 2 to 8. Default 4. */
  readonly bits?: number | undefined;
  /** Weights that share a scale and a bias: 32, 64 or 128. Default 64. */
  readonly group?: number | undefined;
  /** Dtype of scales and biases. Default: that of the weights (f32 for f64). */
  readonly scaleDtype?: ScaleDType | undefined;
}

/** What a {@link QuantizedTensor} is made of. */
export interface QuantizedParts {
  /** `[..., dim · bits / 32]` u32. */
  readonly codes: Tensor;
  /** `[..., dim / group]`. */
  readonly scales: Tensor;
  readonly biases: Tensor;
  readonly bits: number;
  readonly group: number;
}

/**
 * Weights in codes of a few bits: `w ≈ scale · code + bias`, with a scale and a bias for each group of the last axis.
 *
 * It holds three ordinary tensors, in the layout of MLX.
 *
 * @example
 * ```ts
 * const q = QuantizedTensor.from(uniform([8, 64]), { bits: 8, group: 32 });
 * q.shape; // [8, 64]
 * q.multiply(ones([2, 64])).shape; // [2, 8]
 * ```
 */
export class QuantizedTensor implements TreeNode, QuantizedParts {
  readonly codes: Tensor;
  readonly scales: Tensor;
  readonly biases: Tensor;
  readonly bits: number;
  readonly group: number;
  /** The shape of the weights. */
  readonly shape: Shape;

  /**
   * Takes over the tensors.
   *
   * @throws OpError `SHAPE_MISMATCH` if they do not fit each other, or the codes are not u32.
   */
  constructor({ codes, scales, biases, bits, group }: QuantizedParts) {
    const dim = ((codes.shape.at(-1) ?? 0) * 32) / bits;
    const groups = [...codes.shape.slice(0, -1), dim / group].join();
    const fits = codes.rank > 0 && Number.isInteger(dim / group) && codes.dtype === "u32";
    if (!fits || scales.shape.join() !== groups || biases.shape.join() !== groups) {
      const got = [codes, scales, biases].map(({ dtype, shape }) => `${dtype}[${shape.join(", ")}]`);
      throw new OpError(
        "SHAPE_MISMATCH",
        "QuantizedTensor",
        `wants codes u32[..., dim · ${bits} / 32], scales and biases [..., dim / ${group}], got ${got.join(", ")}`,
      );
    }
    this.codes = codes;
    this.scales = scales;
    this.biases = biases;
    this.bits = bits;
    this.group = group;
    this.shape = [...codes.shape.slice(0, -1), dim];
  }

  /**
   * Rounds weights `[..., dim]` to codes.
   *
   * @throws OpError `SHAPE_MISMATCH` if `dim` is not a multiple of `group`, `INVALID_ARGUMENT` for other bits or groups.
   */
  static from(
    weights: Tensor,
    { bits = 4, group = 64, scaleDtype }: QuantizationOptions = {},
  ): QuantizedTensor {
    return scope(() => {
      const w = weights.dtype === "f64" ? weights.to("f32") : weights;
      const { codes, scales, biases } = quantize(w, { bits, group });
      const dtype = scaleDtype ?? scales.dtype;
      return new QuantizedTensor({ codes, scales: scales.to(dtype), biases: biases.to(dtype), bits, group });
    });
  }

  /**
   * Weights of blocks as GGUF files have them, unchanged: scales stay f16, and the bias puts the code of zero at 0.
   *
   * @param shape - Of the weights; the last axis is a multiple of 32.
   * @throws FormatError if the bytes are not those of such blocks.
   */
  static fromBlocks(
    data: Uint8Array,
    format: BlockFormat,
    shape: Shape,
    { device }: Pick<CreateOptions, "device"> = {},
  ): QuantizedTensor {
    const [lead, dim] = [shape.slice(0, -1), shape.at(-1) ?? 0];
    if (dim % BLOCK !== 0) {
      throw new OpError(
        "SHAPE_MISMATCH",
        "fromBlocks",
        `the last axis must be a multiple of ${BLOCK}, got ${dim}`,
      );
    }
    const count = lead.reduce((product, size) => product * size, dim / BLOCK);
    const { bits, codes, scales, biases } = unpackBlocks(data, format, count);
    const groups = { shape: [...lead, dim / BLOCK], dtype: "f16", device } as const;
    return new QuantizedTensor({
      codes: tensor(codes, { shape: [...lead, (dim * bits) / 32], device }),
      scales: tensor(scales, groups),
      biases: tensor(biases, groups),
      bits,
      group: BLOCK,
    });
  }

  /** The weights that the codes stand for. Default dtype: that of the scales. */
  dequantize({ dtype }: { readonly dtype?: DType | undefined } = {}): Tensor {
    const { codes, scales, biases, bits, group } = this;
    return dequantize(codes, scales, biases, { bits, group, dtype });
  }

  /** `x · Wᵀ` for weights `[rows, dim]` and `x` `[..., dim]`; without `transpose` `x · W` for `x` `[..., rows]`. */
  multiply(x: Tensor, { transpose = true }: { readonly transpose?: boolean | undefined } = {}): Tensor {
    const { codes, scales, biases, bits, group } = this;
    return quantizedMatmul(x, codes, scales, biases, { bits, group, transpose });
  }

  /** Rows of weights `[rows, dim]` by their numbers, `[..., dim]`. An id outside `0 … rows - 1` is an error of the result. */
  rows(ids: IndexOperand, { dtype }: { readonly dtype?: DType | undefined } = {}): Tensor {
    const { bits, group } = this;
    return scope(() => {
      const [scales, biases] = [embedding(this.scales, ids), embedding(this.biases, ids)];
      return dequantize(take(this.codes, ids, { axis: 0 }), scales, biases, { bits, group, dtype });
    });
  }

  /** Bytes of codes, scales and biases. */
  get byteLength(): number {
    return this.codes.byteLength + this.scales.byteLength + this.biases.byteLength;
  }

  *[TREE](): Iterable<TreeEntry> {
    yield { path: "codes", tensor: this.codes, trainable: false };
    yield { path: "scales", tensor: this.scales, trainable: false };
    yield { path: "biases", tensor: this.biases, trainable: false };
  }

  /** Frees the three tensors. */
  dispose(): void {
    for (const { tensor } of this[TREE]()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    const { dtype } = this.scales;
    return `QuantizedTensor [${this.shape.join(", ")}] of ${this.bits} bits, ${dtype} scales for groups of ${this.group}`;
  }
}
