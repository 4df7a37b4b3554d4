import { core } from "./core.js";
import { collect } from "./nursery.js";

/** How many tensors of this environment live; for tests that look for leaks. */
export function liveTensors(): number {
  collect();
  return core.liveTensors();
}
