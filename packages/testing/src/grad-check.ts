import { vjp } from "@openelm/autograd";
import { scope, type Tensor, UsageError } from "@openelm/tensor";
import { CheckError } from "./check-error.js";
import { direction, inner, innerSize, shifted } from "./host.js";

/** Options of {@link gradCheck}. */
export interface GradCheckOptions {
  /** Half the distance of the two points of the difference. Default `1e-6`. */
  readonly step?: number | undefined;
  /** Allowed distance as a share of the derivative. Default `1e-6`. */
  readonly rtol?: number | undefined;
  /** Allowed distance besides. Default `1e-8`. */
  readonly atol?: number | undefined;
  /** Names the random directions. Default `0`. */
  readonly seed?: number | undefined;
}

/**
 * Checks reverse-mode gradients of `f` against central differences.
 *
 * A random direction `u` for each input is enough to catch a wrong rule, and costs two evaluations of `f` however many
 * elements the input has: it compares `⟨vjp(w), u⟩` with `⟨w, (f(x + h·u) − f(x − h·u)) / 2h⟩` for a random cotangent
 * `w`. Beside the tolerance the difference may be off by the rounding of `f`, `2⁻⁵⁰ · Σ|w · f| / h`. `f` may return
 * several tensors, and must give the same values each time it is called.
 *
 * @throws UsageError if an input or a result is not f64: f32 rounding error hides real mistakes.
 * @throws CheckError naming the input and both numbers when they differ.
 * @example
 * ```ts
 * gradCheck((x, w) => rmsNorm(x, w), [uniform([3, 8], { dtype: "f64" }), uniform([8], { dtype: "f64" })]);
 * ```
 */
export function gradCheck<In extends readonly Tensor[]>(
  f: (...inputs: In) => Tensor | readonly Tensor[],
  inputs: readonly [...In],
  { step = 1e-6, rtol = 1e-6, atol = 1e-8, seed = 0 }: GradCheckOptions = {},
): void {
  requireF64("input", inputs);
  scope(() => {
    const evaluate = (...args: readonly Tensor[]): readonly Tensor[] =>
      [f(...(args as never))].flat() as Tensor[];
    const { value, pull } = vjp(evaluate, inputs as readonly Tensor[]);
    requireF64("result", value);
    const cotangents = value.map((y, i) => direction(y, seed + 1000 + i));
    const gradients = pull(cotangents) as readonly (Tensor | null)[];
    const noise = (2 ** -50 / step) * sum(value, (y, i) => innerSize(y, cotangents[i]!));
    inputs.forEach((x, i) => {
      const u = direction(x, seed + i);
      const at = (by: number): number => {
        const moved = inputs.map((input, j) => (i === j ? shifted(x, u, by) : input));
        return scope(() => sum(evaluate(...moved), (y, k) => inner(y, cotangents[k]!)));
      };
      const numeric = (at(step) - at(-step)) / (2 * step);
      const gradient = gradients[i];
      const analytic = gradient == null ? 0 : inner(gradient, u);
      const allowed = atol + rtol * Math.abs(numeric) + noise;
      // Written so that a NaN fails.
      if (!(Math.abs(analytic - numeric) <= allowed)) {
        throw new CheckError(
          `gradCheck: the derivative for input ${i} is ${analytic} by vjp but ${numeric} by central difference ` +
            `(off by ${Math.abs(analytic - numeric)}, allowed ${allowed}, seed ${seed})`,
        );
      }
    });
  });
}

function requireF64(what: string, tensors: readonly Tensor[]): void {
  tensors.forEach(({ dtype }, i) => {
    if (dtype !== "f64")
      throw new UsageError(`gradCheck: ${what} ${i} is ${dtype}, expected f64; cast with to("f64")`);
  });
}

const sum = <T>(items: readonly T[], of: (item: T, i: number) => number): number =>
  items.reduce((total, item, i) => total + of(item, i), 0);
