import { type DefinedOp, vjp } from "@openelm/autograd";
import { scope, type Tensor, UsageError } from "@openelm/tensor";
import { allClose } from "./all-close.js";
import { CheckError } from "./check-error.js";
import { type GradCheckOptions, gradCheck } from "./grad-check.js";
import { direction, numbers } from "./host.js";
import { strided } from "./strided.js";

/** Options of {@link opcheck}. */
export interface OpCheckOptions extends GradCheckOptions {
  /** Allowed distance between op and reference as a share of the largest value. Default `1e-10`. */
  readonly referenceTolerance?: number | undefined;
  /** Whether gradients of gradients are checked, by differences of the first ones. Default: if there is a reference. */
  readonly secondOrder?: boolean | undefined;
  /** Whether inputs of other strides are tried. Default `true`. */
  readonly strides?: boolean | undefined;
}

/** What {@link opcheck} has done. */
export interface OpCheckReport {
  /** How many comparisons held. */
  readonly checked: number;
}

type Outputs = readonly Tensor[];
type Call = (...inputs: readonly Tensor[]) => Outputs;

/** A function to check, as it is computed and, if it has one, as its definition says. */
export interface Checkable {
  readonly name: string;
  readonly call: Call;
  readonly reference?: Call | undefined;
}

/**
 * Checks an op that {@link defineOp} made, on f64 inputs:
 *
 * - its values equal those of `reference`, and its inputs are unchanged after the call;
 * - its `vjp` equals the gradient of `reference`, and finite differences, and so does the gradient of the gradient;
 * - a second call gives the same bits;
 * - inputs with other strides give the same results.
 *
 * @throws UsageError if an input is not f64; CheckError saying what does not hold.
 * @example
 * ```ts
 * const double = defineOp({ name: "double", forward: (x: Tensor) => [x.mul(2)], vjp: ({ grads: [g] }) => [g!.mul(2)] });
 * opcheck(double, [tensor([1, 2], { dtype: "f64" })]);
 * ```
 */
export function opcheck<In extends readonly Tensor[], Out extends readonly Tensor[]>(
  op: DefinedOp<In, Out>,
  inputs: readonly [...In],
  options: OpCheckOptions = {},
): OpCheckReport {
  const { name, reference } = op.definition;
  return checkFunction(
    {
      name,
      call: op as unknown as Call,
      reference: reference && ((...args) => reference(...(args as unknown as In))),
    },
    inputs,
    options,
  );
}

/** The same for any function with a gradient, such as an op of the table. */
export function checkFunction(
  target: Checkable,
  inputs: readonly Tensor[],
  {
    referenceTolerance = 1e-10,
    secondOrder = target.reference !== undefined,
    strides = true,
    ...options
  }: OpCheckOptions = {},
): OpCheckReport {
  inputs.forEach(({ dtype }, i) => {
    if (dtype !== "f64") throw new UsageError(`${target.name}: input ${i} is ${dtype}, checks want f64`);
  });
  let checked = 0;
  const check = (layout: string, body: () => void): void => {
    try {
      scope(body);
    } catch (error) {
      if (!(error instanceof CheckError)) throw error;
      throw new CheckError(`${target.name} (${layout} inputs): ${error.message}`);
    }
    checked += 1;
  };
  scope(() => {
    const { call, reference } = target;
    const other = strides ? inputs.map(strided) : inputs;
    const layouts = strides
      ? ([
          ["row-major", inputs],
          ["strided", other],
        ] as const)
      : ([["row-major", inputs]] as const);
    for (const [layout, args] of layouts) {
      check(layout, () => unchanged(call, args));
      check(layout, () => repeats(call, args));
      check(layout, () => gradCheck(call, args, options));
      if (reference !== undefined) {
        check(layout, () => sameValues(call(...args), reference(...args), referenceTolerance));
        check(layout, () => sameGradients(call, reference, args, referenceTolerance));
      }
      if (secondOrder)
        check(layout, () => gradCheck(gradientOf(call), args, { ...options, seed: (options.seed ?? 0) + 7 }));
    }
    if (!strides) return;
    check("strided", () => sameValues(call(...other), call(...inputs), referenceTolerance));
    check("strided", () =>
      sameValues(gradientOf(call)(...other), gradientOf(call)(...inputs), referenceTolerance),
    );
  });
  return { checked };
}

function unchanged(call: Call, inputs: Outputs): void {
  const before = inputs.map(numbers);
  call(...inputs);
  inputs.forEach((input, i) => {
    if (!sameBits(numbers(input), before[i]!)) throw new CheckError(`the call changed input ${i}`);
  });
}

function repeats(call: Call, inputs: Outputs): void {
  const all = (): Float64Array[] => [...call(...inputs), ...gradientOf(call)(...inputs)].map(numbers);
  const [first, second] = [all(), all()];
  first.forEach((values, i) => {
    if (!sameBits(values, second[i]!)) throw new CheckError("a second call gave other bits");
  });
}

const sameBits = (a: Float64Array, b: Float64Array): boolean =>
  a.length === b.length && a.every((value, i) => Object.is(value, b[i]));

function sameValues(actual: Outputs, expected: Outputs, tolerance: number): void {
  if (actual.length !== expected.length) {
    throw new CheckError(`the call has ${actual.length} results, the reference ${expected.length}`);
  }
  for (const [i, y] of actual.entries()) compare(`result ${i}`, y, expected[i]!, tolerance);
}

function sameGradients(call: Call, reference: Call, inputs: Outputs, tolerance: number): void {
  const [own, derived] = [gradientOf(call)(...inputs), gradientOf(reference)(...inputs)];
  for (const [i, gradient] of own.entries())
    compare(`the gradient of input ${i}`, gradient, derived[i]!, tolerance);
}

function compare(what: string, actual: Tensor, expected: Tensor, tolerance: number): void {
  const largest = numbers(expected).reduce((size, value) => Math.max(size, Math.abs(value)), 0);
  const { close, message } = allClose(actual, expected, {
    rtol: tolerance,
    atol: tolerance * Math.max(largest, 1e-3),
  });
  if (!close) throw new CheckError(`${what} is not that of the reference: ${message}`);
}

/** The gradient of `⟨w, call(x)⟩` for a fixed random `w`, zeros where nothing flows. */
const gradientOf =
  (call: Call): Call =>
  (...inputs) => {
    const { value, pull } = vjp(call as (...args: readonly Tensor[]) => readonly Tensor[], inputs);
    const cotangents = value.map((y, i) => direction(y, 500 + i));
    const gradients = pull(cotangents) as readonly (Tensor | null)[];
    return gradients.map((gradient, i) => gradient ?? inputs[i]!.mul(0));
  };
