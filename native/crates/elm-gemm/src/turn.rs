//! Transposed copies of tiles.

use crate::micro::Number;

/// `out[j · width + i] = tile[i · stride + j]` for `[rows, columns]` of the tile.
///
/// # Safety
/// The tile has these elements.
///
/// # Panics
/// If `out` is too short for `columns` rows of `width`, or those for `rows` elements.
#[inline(always)]
pub unsafe fn turn<S: Number>(
    tile: *const S,
    stride: usize,
    [rows, columns]: [usize; 2],
    out: &mut [S],
    width: usize,
) {
    assert!(rows <= width && columns * width <= out.len());
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
    if size_of::<S>() == 4 && rows >= 8 && columns >= 8 {
        // The last block of an axis overlaps the one before it.
        let starts = |len: usize| (0..len.div_ceil(8)).map(move |block| (8 * block).min(len - 8));
        for (i, j) in starts(rows).flat_map(|i| starts(columns).map(move |j| (i, j))) {
            // SAFETY: 8 rows and columns of both exist, and a number of 4 bytes is an f32.
            unsafe {
                use std::arch::x86_64::_mm256_storeu_ps;
                let from = |r: usize| crate::x86::load8_f32(tile.add((i + r) * stride + j).cast());
                let block = crate::x86::transpose8(std::array::from_fn(from));
                for (r, line) in block.into_iter().enumerate() {
                    _mm256_storeu_ps(out.as_mut_ptr().add((j + r) * width + i).cast(), line);
                }
            }
        }
        return;
    }
    for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
        // SAFETY: the caller's promise.
        out[j * width + i] = unsafe { tile.add(i * stride + j).read() };
    }
}
