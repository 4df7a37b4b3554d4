import { DTYPE_INFO, isTreeNode, mapTensors, OpError, type Tensor, TREE, type TreeNode, visitTensors } from "@openelm/tensor";
import { Gradients } from "./gradients.js";

/** The structure of an argument with a gradient at each tensor. */
export type GradientsOf<T> = T extends Tensor
  ? Tensor
  : T extends TreeNode
    ? Gradients
    : T extends readonly unknown[] | Readonly<Record<string, unknown>>
      ? { [K in keyof T]: GradientsOf<T[K]> }
      : null;

/** The tensors of an argument that gradients are wanted for, each once. */
export interface Leaves {
  readonly keys: readonly number[];
  readonly tensors: readonly Tensor[];
  /** Gradients, in the order of `keys`, as a tree like the argument. */
  build(grads: readonly (Tensor | null)[]): unknown;
}

/** Finds the leaves of `value`; a tensor reachable by two paths is one leaf under its first path. */
export function leavesOf(value: unknown, name: string): Leaves {
  const first = new Map<number, string>();
  const tensors: Tensor[] = [];
  const visit = (tensor: Tensor, path: string): void => {
    if (first.has(tensor._live)) return;
    if (!DTYPE_INFO[tensor.dtype].isFloat) {
      const where = path === "" ? name : `${name}.${path}`;
      throw new OpError("NOT_DIFFERENTIABLE", "grad", `${where} is ${tensor.dtype}; only floats have gradients`);
    }
    first.set(tensor._id, path);
    tensors.push(tensor);
  };
  const isModule = typeof value === "object" && value !== null && isTreeNode(value);
  if (isModule) {
    for (const { tensor, path, trainable } of value[TREE]()) if (trainable) visit(tensor, path);
  } else {
    visitTensors(value, visit);
  }
  const keys = [...first.keys()];
  return {
    keys,
    tensors,
    build(grads) {
      if (isModule) return new Gradients([...first.values()].map((path, i) => [path, grads[i] ?? null]));
      const byKey = new Map(keys.map((key, i) => [key, grads[i] ?? null]));
      return mapTensors(value, (tensor) => byKey.get(tensor._id) ?? null);
    },
  };
}
