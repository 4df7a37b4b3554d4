import { OpError } from "@openelm/native";
import { core } from "../core.js";
import { DTYPE_INFO, type DType } from "../dtype.js";
import type { Operand } from "../funnel.js";
import { assign, assignRows, view as viewOf } from "../generated/internal.js";
import { broadcastTo, contiguous, copy, reshape, where } from "../generated/ops.js";
import { PROMOTION } from "../generated/promotion.js";
import { arange } from "../ranges.js";
import { scalar } from "../scalar.js";
import { broadcastShapes } from "../shape.js";
import type { Shape } from "../tensor.js";
import { Tensor } from "../tensor.js";
import { to } from "../to.js";
import { gather } from "./gather.js";
import { type IndexItem, type Part, parseIndex } from "./parse.js";
import { type Basic, basicView, type Selector } from "./view.js";

/**
 * Writes a value where an index points; see {@link at} for what an index may hold.
 *
 * The tensor changes in place, and with it every tensor that shares its memory. The value broadcasts to what the index
 * names. For a bool tensor it may not depend on how many elements that picks: a number, or the shape of one of them.
 *
 * Dtypes: the value is cast where nothing is lost by it.
 *
 * @throws OpError `SHAPE_MISMATCH`, `DTYPE_MISMATCH` or `INDEX_OUT_OF_RANGE`; the tensor is as before then.
 * @example
 * ```ts
 * const x = zeros([2, 3]);
 * x.setAt([0, "1:"], 7);
 * x.setAt([x.eq(0)], -1);
 * await x.array(); // [[-1, 7, 7], [-1, -1, -1]]
 * ```
 */
export function setAt(
  x: Tensor,
  index: readonly (IndexItem | Tensor<Shape, "bool">)[],
  value: Operand,
): void {
  const parts = parseIndex("setAt", x.shape, index);
  const basic = basicView(x, parts);
  const written = valueFor(x, value);
  const [one, ...more] = basic.selectors;
  if (one === undefined) assign(basic.view, checked(written, basic.view.shape));
  else if (basic.selectors.some(({ part }) => part.kind === "mask")) {
    if (more.length > 0) {
      throw new OpError(
        "INVALID_ARGUMENT",
        "setAt",
        "a bool index cannot be combined with other tensors; use where",
      );
    }
    setByMask(basic, one, written);
  } else if (more.length === 0 && !basic.apart) setRows(basic.view, one, written);
  else setMany(x, parts, written);
}

/** The value in the dtype of `x`. */
function valueFor(x: Tensor, value: Operand): Tensor {
  if (!(value instanceof Tensor)) return scalar(value, x.dtype, x.device, "setAt");
  const bothFloat = DTYPE_INFO[x.dtype].isFloat && DTYPE_INFO[value.dtype].isFloat;
  if (bothFloat || PROMOTION[x.dtype][value.dtype] === x.dtype) return to(value, x.dtype);
  const message = `a ${value.dtype} value does not fit into ${x.dtype}; cast it with to("${x.dtype}")`;
  throw new OpError("DTYPE_MISMATCH", "setAt", message);
}

function checked(value: Tensor, shape: Shape): Tensor {
  const common = broadcastShapes([value.shape, shape]);
  if (common?.length === shape.length && common.every((dim, i) => dim === shape[i])) return value;
  const shapes = `[${value.shape.join(", ")}] to [${shape.join(", ")}]`;
  throw new OpError("SHAPE_MISMATCH", "setAt", `the value must broadcast to what the index names: ${shapes}`);
}

function setByMask({ view }: Basic<DType>, { axis, part }: Selector, value: Tensor): void {
  if (part.kind !== "mask") return;
  const after = view.rank - axis - part.mask.rank;
  if (value.rank > after) {
    const message = `with a bool index the value may have ${after} axes here, those of one picked element; got [${value.shape.join(", ")}]`;
    throw new OpError("SHAPE_MISMATCH", "setAt", message);
  }
  checked(value, view.shape);
  const mask = reshape(part.mask, [...part.mask.shape, ...new Array<number>(after).fill(1)]);
  assign(view, where(mask, value, view));
}

function setRows(view: Tensor, { axis, part }: Selector, value: Tensor): void {
  if (part.kind !== "list") return;
  const { indices } = part;
  const shape = indices instanceof Tensor ? indices.shape : [indices.length];
  const target = [...view.shape.slice(0, axis), ...shape, ...view.shape.slice(axis + 1)];
  assignRows(view, indices, broadcastTo(checked(value, target), target), { axis });
}

/** Several lists: the same index of a tensor of row-major positions says where to write in the flat tensor. */
function setMany(x: Tensor, parts: readonly Part[], value: Tensor): void {
  if (x.size >= 2 ** 31) {
    throw new OpError(
      "INVALID_ARGUMENT",
      "setAt",
      "several index tensors need a tensor of less than 2³¹ elements",
    );
  }
  const all = reshape(arange(x.size, { dtype: "i32", device: x.device }), x.shape);
  const positions = gather(basicView(all, parts));
  const written = broadcastTo(checked(value, positions.shape), positions.shape);
  const inPlace = x.device.name === "meta" || core.isContiguous(x._live);
  const target = inPlace ? x : copy(x);
  assignRows(viewOf(target, [-1]), positions, contiguous(written));
  if (!inPlace) assign(x, target);
}
