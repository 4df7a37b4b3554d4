import { core } from "./core.js";

/** How many tensors of this environment live; for tests that look for leaks. */
export function liveTensors(): number {
  core.collect();
  return core.liveTensors();
}
