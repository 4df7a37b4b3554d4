import { inputAt, type OpInfo, type Tensor } from "@openelm/tensor";

/** Values of the inputs of a call under the names of the schema; lists become arrays. */
export function byName<T>(op: OpInfo, values: readonly T[]): Record<string, T | T[]> {
  const out: Record<string, T | T[]> = {};
  for (const { name, arity } of op.inputs) if (arity === "list") out[name] = [];
  values.forEach((value, i) => {
    const { name, arity } = inputAt(op, i, values.length);
    if (arity === "list") (out[name] as T[]).push(value);
    else out[name] = value;
  });
  return out;
}

/** The inverse of {@link byName}, for gradients, of which some may be missing. */
export function positional(op: OpInfo, total: number, grads: object): (Tensor | null)[] {
  const seen = new Map<string, number>();
  return Array.from({ length: total }, (_, i) => {
    const { name, arity } = inputAt(op, i, total);
    const value = (grads as Record<string, Tensor | null | readonly (Tensor | null)[] | undefined>)[name];
    if (arity !== "list") return (value as Tensor | null | undefined) ?? null;
    const at = seen.get(name) ?? 0;
    seen.set(name, at + 1);
    return (value as readonly (Tensor | null)[] | undefined)?.[at] ?? null;
  });
}
