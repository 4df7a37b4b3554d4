//! Cuts texts into the windows that a model sees, so that each token is scored once.

/** Some tokens that are seen together. */
export interface Window {
  readonly ids: Int32Array;
  /** The first token that is scored here; those before it are what it is to follow from. */
  readonly from: number;
}

/**
 * Windows of at most `size` tokens, each `stride` after the one before.
 *
 * The first scores all tokens but its first, which follows from nothing; the others score those that the one before did
 * not reach, so each of them follows from at least `size − stride` tokens.
 */
export function windowsOf(ids: Int32Array, size: number, stride: number): Window[] {
  const windows: Window[] = [];
  let scored = 1;
  for (let start = 0; scored < ids.length; start += stride) {
    const end = Math.min(start + size, ids.length);
    windows.push({ ids: ids.subarray(start, end), from: scored - start });
    scored = end;
  }
  return windows;
}

/** Windows one behind the other in rows of at most `size` tokens, in order; the model keeps them apart. */
export function rowsOf(windows: readonly Window[], size: number): Window[][] {
  const rows: Window[][] = [];
  let room = 0;
  for (const window of windows) {
    if (window.ids.length > room || rows.length === 0) {
      rows.push([]);
      room = size;
    }
    rows.at(-1)!.push(window);
    room -= window.ids.length;
  }
  return rows;
}
