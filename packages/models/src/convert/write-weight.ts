import { type Rows, rowRanges, type Weight } from "./weight.js";

/** How far a conversion is. */
export interface ConvertProgress {
  readonly phase: "convert";
  readonly done: number;
  readonly total: number;
  readonly unit: "bytes";
}

/** What every writer is given beside the weights. */
export interface Watch {
  /** Called with the bytes that were written. */
  wrote(bytes: number): void;
}

/** Gives the rows of a weight part by part, in order. */
export async function eachPart(
  weight: Weight,
  watch: Watch,
  write: (rows: Rows, start: number) => Promise<void>,
): Promise<void> {
  for (const [start, end] of rowRanges(weight)) {
    const rows = await weight.rows(start, end);
    await write(rows, start);
    watch.wrote(rows.data.length + 2 * (rows.scales?.length ?? 0));
  }
}
