import { floats, type Sample } from "../sample.js";

export const samples: readonly Sample<"concat">[] = [
  { inputs: { tensors: [floats([2, 3]), floats([4, 3])] }, attrs: { axis: 0 } },
  { inputs: { tensors: [floats([2, 3]), floats([2, 1]), floats([2, 0])] }, attrs: { axis: -1 } },
  { inputs: { tensors: [floats([3])] }, attrs: { axis: 0 } },
];
