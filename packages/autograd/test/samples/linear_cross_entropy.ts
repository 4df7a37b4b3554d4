import { LOSSES } from "../losses.js";
import { floats, ints, type Sample } from "../sample.js";

export const samples: readonly Sample<"linear_cross_entropy">[] = LOSSES.flatMap((attrs) => [
  {
    inputs: { hidden: floats([6, 4]), weight: floats([5, 4]), targets: ints([6], 0, 5) },
    attrs,
    outputs: ["loss"] as const,
  },
  {
    inputs: { hidden: floats([1, 3]), weight: floats([7, 3]), targets: ints([1], 0, 7) },
    attrs,
    outputs: ["loss"] as const,
  },
]);
