//! By which table a run's products of matrices are computed: another one adds up in another order.
import type { Device, TuningTable } from "@openelm/tensor";

/** What a checkpoint says of the table. */
export type TuningFacts = Pick<TuningTable, "file" | "hash" | "products">;

/** The table in use; undefined on a device that has none. */
export function tuningFacts(device: Device): TuningFacts | undefined {
  const table = device.tuningTable();
  return table && { file: table.file, hash: table.hash, products: table.products };
}

/** What to tell of a run that went by one table and would go on by another. */
export function tuningChange(
  before: TuningFacts | undefined,
  now: TuningFacts | undefined,
): string | undefined {
  if (before === undefined || now === undefined || before.hash === now.hash) return undefined;
  return (
    `products of matrices were computed by ${nameOf(before)}, and now are by ${nameOf(now)}: sums may be in another order, ` +
    "so the run does not go on bit for bit"
  );
}

const nameOf = ({ file, hash, products }: TuningFacts): string =>
  products === 0 ? "no tuning table" : `the tuning table ${hash} (${file ?? "no file"})`;
