//! Products of small matrices on one thread, for kernels that work block by block and keep the blocks in a cache.
//!
//! Nothing is packed: the right matrix is read in runs of its last axis, the left one element by element, so any
//! strides serve there. Each output element is one chain of fused multiply-adds in the order of the inner index.

use elm_core::View;

use crate::element::Real;
use crate::view::{Ptr, ptr};

/// Element `[i, j]` lies at `start + i·rows + j·columns`.
#[derive(Clone, Copy)]
pub struct Strided<T> {
    pub start: Ptr<T>,
    pub rows: isize,
    pub columns: isize,
}

impl<T: Copy> Strided<T> {
    /// Rows of `width` elements behind each other.
    pub fn dense(start: Ptr<T>, width: usize) -> Strided<T> {
        Strided { start, rows: width as isize, columns: 1 }
    }

    pub fn at_row(self, row: usize) -> Strided<T> {
        Strided { start: self.start.moved(row as isize * self.rows), ..self }
    }

    pub fn at_column(self, column: usize) -> Strided<T> {
        Strided { start: self.start.moved(column as isize * self.columns), ..self }
    }

    pub fn transposed(self) -> Strided<T> {
        Strided { start: self.start, rows: self.columns, columns: self.rows }
    }
}

/// A `[batch, heads, tokens, dim]` tensor of any strides.
#[derive(Clone, Copy)]
pub struct Heads<T> {
    start: Ptr<T>,
    steps: [isize; 4],
    pub tokens: usize,
    pub dim: usize,
}

impl<T: Copy> Heads<T> {
    pub fn of(view: &View) -> Heads<T> {
        let steps = std::array::from_fn(|axis| view.layout.strides[axis]);
        Heads { start: ptr(view), steps, tokens: view.shape()[2], dim: view.shape()[3] }
    }

    /// One number a token: `[batch, heads, tokens]` as heads of size 1.
    pub fn of_numbers(view: &View) -> Heads<T> {
        let steps = std::array::from_fn(|axis| view.layout.strides.get(axis).copied().unwrap_or(1));
        Heads { start: ptr(view), steps, tokens: view.shape()[2], dim: 1 }
    }

    /// The tokens of one head.
    #[inline]
    pub fn matrix(self, b: usize, head: usize) -> Strided<T> {
        let start = self.start.moved(b as isize * self.steps[0] + head as isize * self.steps[1]);
        Strided { start, rows: self.steps[2], columns: self.steps[3] }
    }
}

/// Rows of a register tile. With 16 columns its sums fill 12 of the 16 AVX2 registers, which leaves room for one
/// row of the right matrix and an element of the left.
const ROWS: usize = 6;

/// `out = left · right`, or `out += left · right`; `left` is `[m, k]`, `right` is `[k, n]`.
///
/// # Safety
/// The matrices lie inside live storages, nobody else touches `out`, and the columns of `right` and `out` are 1
/// apart.
pub unsafe fn multiply<R: Real>(
    [m, n, k]: [usize; 3],
    left: Strided<R>,
    right: Strided<R>,
    out: Strided<R>,
    accumulate: bool,
) {
    debug_assert!(right.columns == 1 && out.columns == 1);
    let mut column = 0;
    // SAFETY: columns up to `n` only; the rest is passed on from the caller.
    unsafe {
        // One row needs more columns to keep as many sums in flight.
        while m == 1 && n - column >= 64 {
            tile::<R, 1, 64>(k, left, right.at_column(column), out.at_column(column), accumulate);
            column += 64;
        }
        column = panels::<R, 16>([m, n, k], column, left, right, out, accumulate);
        column = panels::<R, 8>([m, n, k], column, left, right, out, accumulate);
        column = panels::<R, 4>([m, n, k], column, left, right, out, accumulate);
        panels::<R, 1>([m, n, k], column, left, right, out, accumulate);
    }
}

/// All panels of `N` columns that fit from `column` on; returns the column behind them.
unsafe fn panels<R: Real, const N: usize>(
    [m, n, k]: [usize; 3],
    mut column: usize,
    left: Strided<R>,
    right: Strided<R>,
    out: Strided<R>,
    accumulate: bool,
) -> usize {
    while n - column >= N {
        let (right, out) = (right.at_column(column), out.at_column(column));
        for row in (0..m).step_by(ROWS) {
            let (left, out) = (left.at_row(row), out.at_row(row));
            // SAFETY: rows up to `m` only; the rest is passed on from `multiply`.
            unsafe {
                match m - row {
                    1 => tile::<R, 1, N>(k, left, right, out, accumulate),
                    2 => tile::<R, 2, N>(k, left, right, out, accumulate),
                    3 => tile::<R, 3, N>(k, left, right, out, accumulate),
                    4 => tile::<R, 4, N>(k, left, right, out, accumulate),
                    5 => tile::<R, 5, N>(k, left, right, out, accumulate),
                    _ => tile::<R, ROWS, N>(k, left, right, out, accumulate),
                }
            }
        }
        column += N;
    }
    column
}

/// The sums of `M × N` outputs stay in registers over all of `k`.
#[inline(never)]
unsafe fn tile<R: Real, const M: usize, const N: usize>(
    k: usize,
    left: Strided<R>,
    right: Strided<R>,
    out: Strided<R>,
    accumulate: bool,
) {
    let mut sums = [[R::ZERO; N]; M];
    let (mut right_row, mut left_column) = (right.start, left.start);
    // SAFETY: `k` rows of `N` elements lie in `right`, `M` rows of `k` in `left`, `M` rows of `N` in `out`.
    unsafe {
        for _ in 0..k {
            let row: &[R; N] = &*right_row.raw().cast_const().cast::<[R; N]>();
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = left_column.read(i as isize * left.rows);
                for (sum, y) in sums.iter_mut().zip(row) {
                    *sum = x.mul_add(*y, *sum);
                }
            }
            right_row = right_row.moved(right.rows);
            left_column = left_column.moved(left.columns);
        }
        for (i, sums) in sums.iter().enumerate() {
            let out: &mut [R; N] = &mut *out.at_row(i).start.raw().cast::<[R; N]>();
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = if accumulate { *out + *sum } else { *sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that the order of the sums does not matter.
    #[test]
    fn products_of_every_remainder_are_exact() {
        for (m, n, k) in [(1, 1, 1), (1, 70, 5), (6, 16, 3), (7, 29, 4), (13, 31, 9), (5, 64, 0), (4, 12, 2)]
        {
            let mut a: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
            let mut b: Vec<f32> = (0..k * n).map(|i| (i % 5) as f32 - 2.0).collect();
            for transposed in [false, true] {
                let mut out = vec![1.0f32; m * n];
                let (width, height) = (k, m);
                let left = match transposed {
                    false => Strided::dense(Ptr::of(&mut a), width),
                    true => Strided::dense(Ptr::of(&mut a), height).transposed(),
                };
                let target = Strided::dense(Ptr::of(&mut out), n);
                // SAFETY: the vectors have exactly these sizes.
                unsafe {
                    multiply([m, n, k], left, Strided::dense(Ptr::of(&mut b), n), target, true);
                }
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let at = |p: usize| if transposed { a[p * m + i] } else { a[i * k + p] };
                    let want = 1.0 + (0..k).map(|p| at(p) * b[p * n + j]).sum::<f32>();
                    assert_eq!(out[i * n + j], want, "{m}x{n}x{k} [{i}, {j}]");
                }
            }
        }
    }
}
