//! How rows are shared among threads; `row.cuh` is the other half. The shares depend on shapes alone.

use elm_core::DType;

use crate::grid::Grid;

/// Bytes that a thread moves at once.
const PACK: usize = 16;
/// `KEPT` of `row.cuh`.
const KEPT: usize = 4;
/// Rows of a block whose warps have a row each.
const WARPS: usize = 4;

/// Threads of each row, and the blocks of all rows.
pub struct Teams {
    pub grid: Grid,
    pub size: u32,
}

/// What rows are moved in: packs where they divide a row, else elements.
fn packs(dim: usize, dtype: DType) -> usize {
    let per_pack = PACK / dtype.size();
    if dim.is_multiple_of(per_pack) { dim / per_pack } else { dim }
}

impl Teams {
    /// For kernels whose threads keep `KEPT` packs of a row.
    pub fn of(rows: usize, dim: usize, dtype: DType) -> Teams {
        Teams::keeping(KEPT, rows, dim, dtype)
    }

    /// For kernels whose threads keep another number of packs.
    pub fn keeping(kept: usize, rows: usize, dim: usize, dtype: DType) -> Teams {
        let threads = packs(dim, dtype).div_ceil(kept);
        if threads <= 32 {
            return Teams { grid: Grid::new(rows.div_ceil(WARPS), 32 * WARPS as u32), size: 32 };
        }
        let size = threads.next_multiple_of(32).min(1024) as u32;
        Teams { grid: Grid::new(rows, size), size }
    }
}

/// Blocks that go through all rows, each through every so many, and leave sums over theirs.
///
/// Eight blocks of 128 threads fill a multiprocessor of a large chip, which has 132 of them; a smaller chip runs the same
/// blocks one after the other, so that the sums are the same.
pub fn sharing_rows(rows: usize, dim: usize, dtype: DType) -> Grid {
    let threads = packs(dim, dtype).next_multiple_of(32).clamp(32, 1024);
    Grid::new(rows.min(132 * (1024 / threads).clamp(2, 32)), threads as u32)
}
