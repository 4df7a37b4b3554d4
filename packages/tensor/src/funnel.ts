//! Every op goes through here, whichever it is: operands become tensors, dtypes meet, a tape may listen, the core runs.
import { OpError } from "@openelm/native";
import { castFor } from "./autocast.js";
import { ARENA_WORDS, arena, core } from "./core.js";
import { defaults } from "./defaults.js";
import { type DeviceLike, device as deviceOf, deviceOfId } from "./device.js";
import { DTYPE_INFO, DTYPES, type DType } from "./dtype.js";
import { cast } from "./generated/internal.js";
import { PROMOTION } from "./generated/promotion.js";
import { type AttrInfo, type AttrValue, inputAt, type OpInfo } from "./op-info.js";
import { scalar } from "./scalar.js";
import { type Shape, Tensor } from "./tensor.js";
import { upload } from "./upload.js";

/** A tensor, or a number that stands for a scalar of the other operand's dtype. */
export type Operand = Tensor | number | bigint | boolean;

/** Ids, positions and masks: a tensor, or whole numbers that become i32. */
export type IndexOperand = Tensor | number | readonly number[] | Int32Array;

/** What may stand where a call wants a tensor. */
type AnyOperand = Operand | IndexOperand | null | undefined;

/** Tensors of a call; optional ones may be absent. */
export type Inputs = readonly (Tensor | null)[];

/** Listens to calls: `execute(wanted)` runs the call with those outputs (a bit each). */
export type Interceptor = (
  op: OpInfo,
  inputs: Inputs,
  attrs: readonly AttrValue[],
  execute: (wanted: number) => (Tensor | null)[],
) => (Tensor | null)[];

let interceptor: Interceptor | null = null;

/** Runs `fn` while `listener` sees every call (`null`: nobody does). For one synchronous call, as all contexts. */
export function intercept<T>(listener: Interceptor | null, fn: () => T): T {
  const outer = interceptor;
  interceptor = listener;
  try {
    return fn();
  } finally {
    interceptor = outer;
  }
}

/** @internal */
export const currentInterceptor = (): Interceptor | null => interceptor;

/** Runs an op and gives its outputs in the order of the schema, `null` for those that are not computed. */
export function call(
  op: OpInfo,
  operands: readonly AnyOperand[],
  attrs: readonly AttrValue[],
  device?: DeviceLike,
): Tensor[] {
  const inputs = prepare(op, operands);
  if (interceptor === null) return execute(op, inputs, attrs, op.publicMask, device) as Tensor[];
  return interceptor(op, inputs, attrs, (wanted) => execute(op, inputs, attrs, wanted, device)) as Tensor[];
}

/** The same for an op with one result. */
export function call1<D extends DType>(
  op: OpInfo,
  operands: readonly AnyOperand[],
  attrs: readonly AttrValue[],
  device?: DeviceLike,
): Tensor<Shape, D> {
  return call(op, operands, attrs, device)[0] as Tensor<Shape, D>;
}

/** Tensors of the dtypes that the op wants. */
function prepare(op: OpInfo, operands: readonly AnyOperand[]): Inputs {
  const { promotion } = op;
  let plain = op.autocast === undefined && !op.takesIndices;
  let dtype: DType | undefined;
  for (let i = 0; plain && i < operands.length; i++) {
    const operand = operands[i];
    if (!(operand instanceof Tensor)) plain = false;
    else if (promotion !== undefined) {
      dtype ??= operand.dtype;
      plain = dtype === operand.dtype && (promotion === "common" || DTYPE_INFO[dtype].isFloat);
    }
  }
  return plain ? (operands as Inputs) : convert(op, operands);
}

function convert(op: OpInfo, operands: readonly AnyOperand[]): Inputs {
  const total = operands.length;
  const isValue = (i: number): boolean => {
    const { index, mutates } = inputAt(op, i, total);
    return !index && !mutates;
  };
  const tensors = operands.filter((x, i): x is Tensor => x instanceof Tensor && isValue(i));
  let common = commonDType(tensors);
  if (op.promotion === "float" && common !== undefined && !DTYPE_INFO[common].isFloat) common = "f32";
  const where = operands.find((x) => x instanceof Tensor)?.device;
  return operands.map((operand, i) => {
    if (operand === null || operand === undefined) return null;
    if (!isValue(i)) return indexTensor(operand, where);
    if (!(operand instanceof Tensor)) {
      if (typeof operand === "object") {
        throw new OpError(
          "INVALID_ARGUMENT",
          op.name,
          `${inputAt(op, i, total).name} must be a tensor or a number`,
        );
      }
      const fallback = typeof operand === "boolean" ? "bool" : typeof operand === "bigint" ? "i64" : "f32";
      const dtype = op.promotion === "float" && fallback !== "f32" ? "f32" : fallback;
      return scalar(operand, common ?? dtype, where, op.name);
    }
    const wanted = op.promotion === undefined ? castFor(op, operand) : common!;
    return wanted === operand.dtype ? operand : cast(operand, wanted);
  });
}

function commonDType(tensors: readonly Tensor[]): DType | undefined {
  let common: DType | undefined;
  for (const { dtype } of tensors) common = common === undefined ? dtype : PROMOTION[common][dtype];
  return common;
}

function indexTensor(operand: Exclude<AnyOperand, null | undefined>, where: DeviceLike | undefined): Tensor {
  if (operand instanceof Tensor) {
    return ["i64", "u32", "i8", "u8"].includes(operand.dtype) ? cast(operand, "i32") : operand;
  }
  if (typeof operand === "number") return scalar(operand, "i32", where, "index");
  if (typeof operand !== "object") return scalar(operand, "bool", where, "index");
  if (!(operand instanceof Int32Array)) operand.forEach(checkIndex);
  return upload(Int32Array.from(operand), "i32", [operand.length], deviceOf(where ?? defaults().device));
}

function checkIndex(value: number): void {
  if ((value | 0) !== value)
    throw new OpError("NOT_REPRESENTABLE", "index", `${value} is no index: indices are whole numbers (i32)`);
}

/** Runs a call whose inputs are ready; nobody listens. @internal */
export function execute(
  op: OpInfo,
  inputs: Inputs,
  attrs: readonly AttrValue[],
  wanted: number,
  device?: DeviceLike,
): (Tensor | null)[] {
  const words = inputs.length + attrs.length < 64 ? arena : arenaFor(inputs, attrs);
  words[0] = inputs.length;
  words[1] = wanted;
  words[2] = inputs.length > 0 ? 0 : deviceOf(device ?? defaults().device).id;
  let at = 3;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    words[at++] = input == null ? 0 : input._live;
  }
  for (let i = 0; i < op.attrs.length; i++) at = writeAttr(words, at, op, op.attrs[i]!, attrs[i]);
  if (words === arena) core.dispatch(op.index);
  else core.dispatchLarge(op.index, words);
  return readOutputs(op.outputs.length, inputs, words);
}

/** An array that surely holds the call, when the arena may not. */
function arenaFor(inputs: Inputs, attrs: readonly AttrValue[]): Float64Array {
  const words = attrs.reduce<number>(
    (sum, attr) => sum + (Array.isArray(attr) ? attr.length + 2 : 2),
    inputs.length + 3,
  );
  return words < ARENA_WORDS ? arena : new Float64Array(Math.max(words, 1024));
}

function writeAttr(words: Float64Array, at: number, op: OpInfo, attr: AttrInfo, value: AttrValue): number {
  if (value === undefined) {
    if (!attr.optional) throw badAttr(op, attr, value, "given");
    words[at] = 0;
    return at + 1;
  }
  if (attr.optional) words[at++] = 1;
  switch (attr.kind) {
    case "f64":
    case "int":
    case "axis":
      if (typeof value !== "number") throw badAttr(op, attr, value, "a number");
      words[at] = value;
      return at + 1;
    case "bool":
      if (typeof value !== "boolean") throw badAttr(op, attr, value, "true or false");
      words[at] = value ? 1 : 0;
      return at + 1;
    case "dtype":
      words[at] = DTYPES.indexOf(value as DType);
      if (words[at]! < 0) throw badAttr(op, attr, value, `one of ${DTYPES.join(", ")}`);
      return at + 1;
    case "choice":
      words[at] = attr.choices!.indexOf(value as string);
      if (words[at]! < 0) throw badAttr(op, attr, value, `one of ${attr.choices!.join(", ")}`);
      return at + 1;
    default: {
      const list = typeof value === "number" ? [value] : (value as readonly number[]);
      if (!Array.isArray(list)) throw badAttr(op, attr, value, "a list of whole numbers");
      if (at + list.length + 1 > words.length) throw badAttr(op, attr, value, "a shorter list");
      words[at++] = list.length;
      for (const item of list) {
        if (!Number.isInteger(item)) throw badAttr(op, attr, value, "a list of whole numbers");
        words[at++] = item;
      }
      return at;
    }
  }
}

function badAttr(op: OpInfo, attr: AttrInfo, value: AttrValue, what: string): OpError {
  const got = JSON.stringify(value) ?? "nothing";
  return new OpError("INVALID_ARGUMENT", op.name, `${attr.name} must be ${what}, got ${got}`);
}

/** The `total` tensors that lie in `words`; most have the shape of the first input. @internal */
export function readOutputs(total: number, inputs: Inputs, words: Float64Array): (Tensor | null)[] {
  const device = deviceOfId(words[0]!);
  if (total === 1 && words[1] !== 0) {
    const shape = readShape(words, 4, inputs);
    return [new Tensor(words[1]!, DTYPES[words[2]!]!, shape, device, "scope", words[3]!)];
  }
  // All words are read before the first tensor is made: making one may call the core, which may use the arena.
  const outputs: (Tensor | null)[] = [];
  const ids: number[] = [];
  const dtypes: DType[] = [];
  const shapes: Shape[] = [];
  const footprints: number[] = [];
  for (let i = 0, at = 1; i < total; i++) {
    const id = words[at++]!;
    ids.push(id);
    outputs.push(null);
    dtypes.push(DTYPES[words[at]!]!);
    footprints.push(words[at + 1]!);
    shapes.push(id === 0 ? [] : readShape(words, at + 2, inputs));
    if (id !== 0) at += 3 + shapes[i]!.length;
  }
  for (let i = 0; i < total; i++) {
    if (ids[i] === 0) continue;
    outputs[i] = new Tensor(ids[i]!, dtypes[i]!, shapes[i]!, device, "scope", footprints[i]!);
  }
  return outputs;
}

/** The shape that lies at `at`: most results have that of their first input, which need not be made again. */
function readShape(words: Float64Array, at: number, inputs: Inputs): Shape {
  const rank = words[at++]!;
  const like = inputs.length > 0 ? inputs[0]?.shape : undefined;
  if (like?.length === rank) {
    let axis = 0;
    while (axis < rank && like[axis] === words[at + axis]) axis++;
    if (axis === rank) return like;
  }
  const shape: number[] = [];
  for (let axis = 0; axis < rank; axis++) shape.push(words[at + axis]!);
  return shape;
}
