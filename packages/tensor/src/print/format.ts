//! Tensors as text, laid out as NumPy lays out arrays.
import type { DType } from "../dtype.js";
import { intercept } from "../funnel.js";
import { take } from "../generated/ops.js";
import { dataSync } from "../read.js";
import { scope } from "../scope.js";
import type { Shape, Tensor } from "../tensor.js";
import { formatter } from "./numbers.js";

/** Elements from which on only the edges are printed, and how many of each axis' ends. */
const THRESHOLD = 1000;
const EDGE = 3;
const LINE_WIDTH = 75;
const PREFIX = "tensor(";

/**
 * The values as NumPy prints them, with the dtype if it is not f32 and the device if it is not the CPU.
 *
 * Over 1,000 elements only three at either end of each axis are read and printed. Reading blocks: this is for people.
 *
 * @example
 * ```ts
 * String(tensor([[1, 2.5], [3, 4]])); // tensor([[1. , 2.5],
 *                                     //         [3. , 4. ]])
 * ```
 */
export function format(x: Tensor): string {
  if (x.isDisposed) return suffixed("...", x, ["freed"], x.shape);
  if (x.device.name === "meta") return suffixed("...", x, [], x.shape);
  if (x.size === 0) return suffixed("[]", x, [], x.shape.length === 1 ? undefined : x.shape);
  const summarized = x.size > THRESHOLD;
  const { values, shape } = summarized ? edges(x) : { values: dataSync(x), shape: x.shape };
  const print = formatter(values, x.dtype);
  const suffix = suffixOf(x, [], summarized ? x.shape : undefined);
  const width = LINE_WIDTH - (suffix === ")" ? 1 : 0);
  const body = layOut(values, { shape, full: x.shape, summarized, print }, width);
  return attach(body, suffix);
}

/** For `util.inspect` and so for `console.log`; an error becomes text. @internal */
export function inspect(x: Tensor): string {
  try {
    return format(x);
  } catch (error) {
    return `${PREFIX}<${(error as Error).message}>, ${suffixOf(x, [], x.shape).slice(2)}`;
  }
}

type Values = ArrayLike<number | bigint>;

/** The first and last elements of each long axis. */
function edges(x: Tensor): { values: Values; shape: Shape } {
  return intercept(null, () =>
    scope(() => {
      let cut = x;
      for (const [axis, dim] of x.shape.entries()) {
        if (dim > 2 * EDGE) cut = take(cut, [0, 1, 2, -3, -2, -1], { axis });
      }
      return { values: dataSync(cut) as Values, shape: cut.shape };
    }),
  );
}

interface Layout {
  readonly shape: Shape;
  /** The shape before edges were cut out. */
  readonly full: Shape;
  readonly summarized: boolean;
  readonly print: (value: number | bigint) => string;
}

function layOut(values: Values, { shape, full, summarized, print }: Layout, width: number): string {
  let at = 0;
  const build = (axis: number, indent: string, room: number): string => {
    if (axis === shape.length) return print(values[at++]!);
    const words: string[] = [];
    for (let i = 0; i < shape[axis]!; i++) {
      if (i === EDGE && summarized && full[axis]! > 2 * EDGE) words.push("...");
      words.push(build(axis + 1, `${indent} `, room - 1));
    }
    const left = shape.length - axis;
    const body =
      left === 1 ? wrap(words, indent, room - 1) : words.join(`,${"\n".repeat(left - 1)}${indent}`);
    return `[${body}]`;
  };
  return build(0, " ".repeat(PREFIX.length + 1), width);
}

/** Words with commas, in as many lines as they need. */
function wrap(words: readonly string[], indent: string, width: number): string {
  const lines: string[] = [];
  let line = indent;
  for (const [i, word] of words.entries()) {
    if (line.length > indent.length && line.length + word.length > width) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += i === words.length - 1 ? word : `${word}, `;
  }
  lines.push(line);
  return lines.join("\n").slice(indent.length);
}

function suffixOf(x: Tensor, marks: readonly string[], shape: Shape | undefined): string {
  const notes: string[] = [...marks];
  if (shape !== undefined) notes.push(`shape=[${shape.join(", ")}]`);
  if (x.dtype !== ("f32" satisfies DType)) notes.push(`dtype=${x.dtype}`);
  if (x.device.name !== "cpu") notes.push(`device=${x.device.name}`);
  return notes.length === 0 ? ")" : `, ${notes.join(", ")})`;
}

const suffixed = (body: string, x: Tensor, marks: readonly string[], shape: Shape | undefined): string =>
  attach(body, suffixOf(x, marks, shape));

/** The notes go to a line of their own where the last one has no room. */
function attach(body: string, suffix: string): string {
  const text = `${PREFIX}${body}`;
  const last = text.length - (text.lastIndexOf("\n") + 1);
  if (suffix === ")" || last + suffix.length <= LINE_WIDTH) return text + suffix;
  return `${text},\n${" ".repeat(PREFIX.length)}${suffix.slice(2)}`;
}
