import { scope, type Tensor, tensor, transpose, UsageError } from "@openelm/tensor";
import { numbersOf } from "./read.js";

/** Columns that are factored before the rest of the matrix hears of them. */
const BLOCK = 128;

/**
 * The factor `M` of a symmetric positive matrix, `A = M · diag(d) · Mᵀ` with `M` lower triangular and ones on its
 * diagonal, row by row; what is above the diagonal is 0.
 *
 * Shapes: `a` `[n, n]`, f64, of which the lower triangle is read. Takes `n³ / 3` products, which run on `a`'s device.
 *
 * @throws UsageError if `a` is not positive definite or holds numbers that are not finite.
 */
export async function unitCholesky(a: Tensor): Promise<Float32Array> {
  const n = a.shape[0]!;
  const factor = new Float32Array(n * n);
  let rest = a;
  try {
    for (let from = 0; from < n; from += BLOCK) {
      const width = Math.min(BLOCK, n - from);
      const rows = n - from;
      const panel = await numbersOf<Float64Array>(() => rest.at(":", `:${width}`) as Tensor);
      if (!factorPanel(panel, rows, width)) {
        throw new UsageError("the matrix is not positive definite, or holds numbers that are not finite");
      }
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < Math.min(width, r + 1); c++) {
          factor[(from + r) * n + from + c] = panel[r * width + c]! / panel[c * width + c]!;
        }
      }
      const before = rest;
      if (width < rows) {
        rest = scope(() => {
          const below = tensor(panel.subarray(width * width), {
            shape: [rows - width, width],
            dtype: "f64",
            device: a.device,
          });
          return (before.at(`${width}:`, `${width}:`) as Tensor).sub(below.matmul(transpose(below)));
        });
      }
      if (before !== a) before.dispose();
    }
  } finally {
    if (rest !== a) rest.dispose();
  }
  return factor;
}

/** The first `width` columns of the ordinary factor, in place; false where a pivot is not positive. */
function factorPanel(panel: Float64Array, rows: number, width: number): boolean {
  for (let c = 0; c < width; c++) {
    let pivot = panel[c * width + c]!;
    for (let k = 0; k < c; k++) pivot -= panel[c * width + k]! ** 2;
    if (!(pivot > 0 && pivot < Number.POSITIVE_INFINITY)) return false;
    const root = Math.sqrt(pivot);
    panel[c * width + c] = root;
    for (let r = c + 1; r < rows; r++) {
      let sum = panel[r * width + c]!;
      for (let k = 0; k < c; k++) sum -= panel[r * width + k]! * panel[c * width + k]!;
      panel[r * width + c] = sum / root;
    }
  }
  return true;
}
