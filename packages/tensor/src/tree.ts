import { Tensor } from "./tensor.js";

/** One tensor inside an object that takes part in scopes and gradients. */
export interface TreeEntry {
  /** Where it is, such as `layers.0.weight`. */
  readonly path: string;
  readonly tensor: Tensor;
  /** Whether gradients are wanted for it. */
  readonly trainable: boolean;
  /** Has no values yet: reading `tensor` makes them. */
  readonly pending?: boolean;
}

/**
 * Objects with this method say which tensors they hold. Plain arrays, objects and Maps need none.
 *
 * Registered by name, so that copies of the package understand each other.
 */
export const TREE: unique symbol = Symbol.for("openelm.tree") as never;

export interface TreeNode {
  [TREE](): Iterable<TreeEntry>;
}

export const isTreeNode = (value: object): value is TreeNode => TREE in value;

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

/** Calls `visit` for every tensor inside `value`, with its path. */
export function visitTensors(value: unknown, visit: (tensor: Tensor, path: string) => void): void {
  visitEntries(value, (entry) => visit(entry.tensor, entry.path));
}

/** The same for those that exist already: nothing is made by looking. @internal */
export function visitExisting(value: unknown, visit: (tensor: Tensor) => void): void {
  visitEntries(value, (entry) => {
    if (entry.pending !== true) visit(entry.tensor);
  });
}

function visitEntries(value: unknown, visit: (entry: Omit<TreeEntry, "trainable">) => void, path = ""): void {
  if (typeof value !== "object" || value === null) return;
  if (value instanceof Tensor) {
    visit({ path, tensor: value });
    return;
  }
  const below = (key: string | number): string => (path === "" ? String(key) : `${path}.${key}`);
  if (isTreeNode(value)) {
    for (const entry of value[TREE]()) {
      const inner = below(entry.path);
      // Not spread: that would read `tensor`.
      visit({
        path: inner,
        pending: entry.pending ?? false,
        get tensor() {
          return entry.tensor;
        },
      });
    }
  } else if (Array.isArray(value)) {
    value.forEach((item, index) => {
      visitEntries(item, visit, below(index));
    });
  } else if (value instanceof Map) {
    for (const [key, item] of value) visitEntries(item, visit, below(String(key)));
  } else if (isPlain(value)) {
    for (const [key, item] of Object.entries(value)) visitEntries(item, visit, below(key));
  }
}

/** The same structure of plain arrays, objects and Maps with every tensor replaced. */
export function mapTensors<T>(value: T, map: (tensor: Tensor, path: string) => unknown, path = ""): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Tensor) return map(value, path);
  const below = (key: string | number): string => (path === "" ? String(key) : `${path}.${key}`);
  if (Array.isArray(value)) return value.map((item, index) => mapTensors(item, map, below(index)));
  if (value instanceof Map) {
    return new Map([...value].map(([key, item]) => [key, mapTensors(item, map, below(String(key)))]));
  }
  if (isPlain(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, mapTensors(item, map, below(key))]),
    );
  }
  return value;
}
