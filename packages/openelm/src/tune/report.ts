//! What tuning gained, as a table for a person.
import type { TunedProduct, Tuning } from "@openelm/tensor";
import { table } from "../cli/format.js";

/** Microseconds of all products of a piece of work. */
export interface Gain {
  /** In the ways that are taken without a table. */
  readonly first: number;
  /** In the best ways. */
  readonly best: number;
}

/** The time of all products together, each as often as it was met. */
export function gainOf(products: readonly TunedProduct[]): Gain {
  const sum = (time: (product: TunedProduct) => number | null): number =>
    products.reduce((total, product) => total + product.calls * (time(product) ?? 0), 0);
  return { first: sum(({ first }) => first), best: sum(({ best }) => best) };
}

/** Products with what each gained, those that gained most in all first. */
export function gainTable({ products }: Tuning): string {
  const saved = ({ calls, first, best }: TunedProduct): number => calls * ((first ?? 0) - (best ?? 0));
  const rows = [...products].sort((a, b) => saved(b) - saved(a)).map(row);
  const head = ["product", "dtype", "calls", "ways", "first µs", "best µs", "gain"];
  return table([head, ...rows, total(products)]);
}

function row({
  size,
  batches,
  dtype,
  result,
  accumulate,
  calls,
  candidates,
  first,
  best,
}: TunedProduct): string[] {
  const sizes = `${batches > 1 ? `${batches} of ` : ""}${size.join("×")}${accumulate ? " added" : ""}`;
  const dtypes = dtype === result ? dtype : `${dtype}>${result}`;
  const times = [first, best].map((time) => time?.toFixed(1) ?? "?");
  return [sizes, dtypes, String(calls), String(candidates ?? "?"), ...times, percent(first ?? 0, best ?? 0)];
}

function total(products: readonly TunedProduct[]): string[] {
  const { first, best } = gainOf(products);
  const calls = products.reduce((sum, product) => sum + product.calls, 0);
  return ["all", "", String(calls), "", first.toFixed(1), best.toFixed(1), percent(first, best)];
}

/** How much less time it takes. */
const percent = (first: number, best: number): string =>
  first === 0 ? "" : `${((1 - best / first) * 100).toFixed(1)}%`;
