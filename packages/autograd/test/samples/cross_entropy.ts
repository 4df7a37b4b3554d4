import { LOSSES } from "../losses.js";
import { floats, ints, type Sample } from "../sample.js";

export const samples: readonly Sample<"cross_entropy">[] = LOSSES.flatMap((attrs) => [
  { inputs: { logits: floats([6, 5]), targets: ints([6], 0, 5) }, attrs },
  { inputs: { logits: floats([2, 3, 7]), targets: ints([2, 3], 0, 7) }, attrs, outputs: ["loss"] as const },
  { inputs: { logits: floats([4, 3]), targets: ints([4], 0, 3) }, attrs, outputs: ["ce", "z"] as const },
  { inputs: { logits: floats([0, 3]), targets: ints([0], 0, 3) }, attrs },
]);
