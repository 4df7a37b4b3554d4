//! The notation of einsum: which label each axis has.
import { OpError } from "@openelm/native";
import type { Shape } from "../tensor.js";

/** Labels of an operand's axes; those that an ellipsis stands for are `"…0"`, `"…1"`, counted from the last. */
export type Labels = readonly string[];

/** What an equation means for given shapes. */
export interface Equation {
  readonly inputs: readonly Labels[];
  readonly output: Labels;
  /** The size of every label. */
  readonly sizes: ReadonlyMap<string, number>;
}

const fail = (
  equation: string,
  message: string,
  code: "INVALID_ARGUMENT" | "SHAPE_MISMATCH" = "INVALID_ARGUMENT",
): OpError => new OpError(code, "einsum", `"${equation}": ${message}`);

/** @throws OpError that names the equation and what is wrong with it. */
export function parseEinsum(equation: string, shapes: readonly Shape[]): Equation {
  const text = equation.replaceAll(/\s/g, "");
  const [left, right, ...rest] = text.split("->");
  if (left === undefined || rest.length > 0) throw fail(equation, "there may be one ->");
  const terms = left.split(",");
  if (terms.length !== shapes.length)
    throw fail(equation, `names ${terms.length} operands, got ${shapes.length}`);
  const inputs = terms.map((term, i) => labelsOf(equation, term, shapes[i]!.length, `operand ${i}`));
  const sizes = sizesOf(equation, inputs, shapes);
  const ellipsis = [...sizes.keys()].filter(isEllipsis).sort().reverse();
  const output = right === undefined ? implicitOutput(inputs, ellipsis) : outputOf(equation, right, ellipsis);
  for (const label of output)
    if (!sizes.has(label)) throw fail(equation, `output label ${label} is in no operand`);
  if (new Set(output).size !== output.length) throw fail(equation, "a label is in the output twice");
  return { inputs, output, sizes };
}

const isEllipsis = (label: string): boolean => label.startsWith("…");

/** Axes that an ellipsis stands for, aligned at the last one as broadcasting is. */
const ellipsisLabels = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `…${count - 1 - i}`);

function labelsOf(equation: string, term: string, rank: number, what: string): string[] {
  const [before, after, ...more] = term.split("...");
  if (more.length > 0) throw fail(equation, `${what} has more than one ellipsis`);
  const letters = `${before}${after ?? ""}`;
  if (!/^[a-zA-Z]*$/.test(letters))
    throw fail(equation, `${what} may hold letters and one "...", got "${term}"`);
  const rest = rank - letters.length;
  if (rest < 0 || (rest > 0 && after === undefined)) {
    throw fail(
      equation,
      `${what} has ${rank} axes, its labels "${term}" are ${letters.length}`,
      "SHAPE_MISMATCH",
    );
  }
  return [...before!, ...(after === undefined ? [] : ellipsisLabels(rest)), ...(after ?? "")];
}

function sizesOf(equation: string, inputs: readonly Labels[], shapes: readonly Shape[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const [i, labels] of inputs.entries()) {
    for (const [axis, label] of labels.entries()) {
      const [dim, known] = [shapes[i]![axis]!, sizes.get(label)];
      if (known === undefined || (isEllipsis(label) && known === 1)) sizes.set(label, dim);
      else if (known !== dim && !(isEllipsis(label) && dim === 1)) {
        const name = isEllipsis(label) ? 'an axis under "..."' : `label ${label}`;
        throw fail(equation, `${name} has size ${known} and, in operand ${i}, ${dim}`, "SHAPE_MISMATCH");
      }
    }
  }
  return sizes;
}

/** Without an arrow: the ellipsis, then the labels that occur once, in alphabetical order. */
function implicitOutput(inputs: readonly Labels[], ellipsis: readonly string[]): string[] {
  const all = inputs.flat().filter((label) => !isEllipsis(label));
  const once = [...new Set(all)].filter((label) => all.indexOf(label) === all.lastIndexOf(label));
  return [...ellipsis, ...once.sort()];
}

function outputOf(equation: string, right: string, ellipsis: readonly string[]): string[] {
  const [before, after, ...more] = right.split("...");
  if (more.length > 0 || !/^[a-zA-Z]*$/.test(`${before}${after ?? ""}`)) {
    throw fail(equation, `the output may hold letters and one "...", got "${right}"`);
  }
  // Axes under an ellipsis that the output leaves out are summed.
  return [...before!, ...(after === undefined ? [] : ellipsis), ...(after ?? "")];
}
