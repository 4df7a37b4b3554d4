import { DTYPE_INFO, isTreeNode, OpError, Tensor, TREE, type TreeNode } from "@openelm/tensor";
import { Gradients } from "./gradients.js";

/** The structure of an argument with a gradient at each tensor. */
export type GradientsOf<T> = T extends Tensor
  ? Tensor
  : T extends TreeNode
    ? Gradients
    : T extends readonly unknown[] | Readonly<Record<string, unknown>>
      ? { [K in keyof T]: GradientsOf<T[K]> }
      : T extends ReadonlyMap<infer K, infer V>
        ? Map<K, GradientsOf<V>>
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
  const tensors = new Map<number, Tensor>();
  const plan = planOf(value, name, tensors);
  const keys = [...tensors.keys()];
  return {
    keys,
    tensors: [...tensors.values()],
    build: (grads) => build(plan, new Map(keys.map((key, i) => [key, grads[i] ?? null]))),
  };
}

/** An argument with the key of each leaf in place of its tensor. */
type Plan =
  | null
  | number
  | readonly Plan[]
  | { readonly module: readonly (readonly [path: string, key: number])[] }
  | { readonly map: readonly (readonly [key: unknown, plan: Plan])[] }
  | { readonly fields: readonly (readonly [name: string, plan: Plan])[] };

function planOf(value: unknown, path: string, tensors: Map<number, Tensor>): Plan {
  if (typeof value !== "object" || value === null) return null;
  if (value instanceof Tensor) return leaf(value, path, tensors);
  if (isTreeNode(value)) {
    const seen = new Set<number>();
    const module = [...value[TREE]()].flatMap(({ tensor, path: at, trainable }) => {
      if (!trainable || seen.has(tensor._live)) return [];
      seen.add(tensor._live);
      return [[at, leaf(tensor, `${path}.${at}`, tensors)] as const];
    });
    return { module };
  }
  if (Array.isArray(value)) return value.map((item, i) => planOf(item, `${path}.${i}`, tensors));
  if (value instanceof Map)
    return { map: [...value].map(([key, item]) => [key, planOf(item, `${path}.${String(key)}`, tensors)]) };
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return null;
  return {
    fields: Object.entries(value).map(([key, item]) => [key, planOf(item, `${path}.${key}`, tensors)]),
  };
}

function leaf(tensor: Tensor, path: string, tensors: Map<number, Tensor>): number {
  if (!DTYPE_INFO[tensor.dtype].isFloat) {
    throw new OpError("NOT_DIFFERENTIABLE", "grad", `${path} is ${tensor.dtype}; only floats have gradients`);
  }
  if (!tensors.has(tensor._live)) tensors.set(tensor._live, tensor);
  return tensor._live;
}

function build(plan: Plan, grads: ReadonlyMap<number, Tensor | null>): unknown {
  if (plan === null) return null;
  if (typeof plan === "number") return grads.get(plan) ?? null;
  if (isList(plan)) return plan.map((item) => build(item, grads));
  if ("module" in plan)
    return new Gradients(plan.module.map(([path, key]) => [path, grads.get(key) ?? null]));
  if ("map" in plan) return new Map(plan.map.map(([key, item]) => [key, build(item, grads)]));
  return Object.fromEntries(plan.fields.map(([key, item]) => [key, build(item, grads)]));
}

const isList = (plan: Plan): plan is readonly Plan[] => Array.isArray(plan);
