import { accumulate as addInPlace, type Tensor, tensor, UsageError, visitTensors } from "@openelm/tensor";

/**
 * Adds `weight · from` to `into`, all tensors of both trees in one call, in place.
 *
 * Gradients of micro-batches are summed so. `null` on either side is skipped: a parameter that one micro-batch does not
 * use has no gradient there.
 *
 * @throws UsageError if the trees hold different paths.
 */
export function accumulate(into: unknown, from: unknown, weight: number | Tensor = 1): void {
  const targets = byPath(into);
  const sources = byPath(from);
  const missing = [...sources.keys()].find((path) => !targets.has(path));
  if (missing !== undefined) {
    throw new UsageError(`accumulate: "${missing}" has a new gradient but no sum to add it to`);
  }
  const paths = [...targets.keys()].filter((path) => sources.has(path));
  if (paths.length === 0) return;
  addInPlace(
    typeof weight === "number" ? tensor(weight, { device: targets.get(paths[0]!)!.device }) : weight,
    paths.map((path) => targets.get(path)!),
    paths.map((path) => sources.get(path)!),
  );
}

function byPath(tree: unknown): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  visitTensors(tree, (tensor, path) => found.set(path, tensor));
  return found;
}
