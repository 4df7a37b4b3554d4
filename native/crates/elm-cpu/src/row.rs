//! Kernels over the last axis of row-major tensors: how many rows, how long, how many a task.

use std::ops::Range;

use elm_core::View;

use crate::element::{Element, Real};
use crate::view::{Rows, slice};
use crate::{Pool, with_float};

/// Rows of a shape: all but the last axis, and the last.
#[derive(Clone, Copy)]
pub struct RowShape {
    pub rows: usize,
    pub dim: usize,
}

impl RowShape {
    pub fn of(shape: &[usize]) -> RowShape {
        let dim = shape.last().copied().unwrap_or(1);
        RowShape { rows: shape[..shape.len().saturating_sub(1)].iter().product(), dim }
    }

    /// Rows that one task handles, about 8,192 elements: fixed by the shape.
    pub fn grain(self) -> usize {
        (8192 / self.dim.max(1)).max(1)
    }
}

/// `Σ f(aᵢ, bᵢ)` in 16 running sums: fast, in a fixed order, and with the error of short chains.
#[inline(always)]
pub fn sum2<A: Copy, B: Copy, R: Real>(a: &[A], b: &[B], f: impl Fn(A, B) -> R) -> R {
    sum3(a, b, a, |a, b, _| f(a, b))
}

/// `Σ f(aᵢ, bᵢ, cᵢ)`, the same way.
#[inline(always)]
pub fn sum3<A: Copy, B: Copy, C: Copy, R: Real>(a: &[A], b: &[B], c: &[C], f: impl Fn(A, B, C) -> R) -> R {
    let ((a, rest_a), (b, rest_b), (c, rest_c)) =
        (a.as_chunks::<16>(), b.as_chunks::<16>(), c.as_chunks::<16>());
    let mut sums = [R::ZERO; 16];
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for i in 0..16 {
            sums[i] += f(a[i], b[i], c[i]);
        }
    }
    let rest = rest_a.iter().zip(rest_b).zip(rest_c).map(|((a, b), c)| f(*a, *b, *c));
    rest.sum::<R>() + fold(sums)
}

/// By halves, as vector registers are added.
#[inline(always)]
fn fold<R: Real>(mut sums: [R; 16]) -> R {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}

/// A row-major float tensor as the arithmetic of a kernel holds it.
pub fn convert<R: Real>(from: &View, to: &mut [R]) {
    with_float!(from.dtype, W => {
        to.iter_mut().zip(slice::<W>(from)).for_each(|(to, from)| *to = R::from_f64(from.to_f64()));
    });
}

/// `out[i] = Σ_row partial[row, part.start + i]` in the order of the rows, which have `stride` elements each.
pub fn sum_rows<R: Real>(pool: &Pool, partial: &[R], part: Range<usize>, stride: usize, out: &View) {
    let start = part.start;
    with_float!(out.dtype, W => {
        let out = Rows::<W>::new(out);
        pool.run_ranges(part.len(), 256, #[inline(always)] |columns| {
            let mut sums = [R::ZERO; 256];
            for row in partial.chunks_exact(stride) {
                let row = &row[start + columns.start..start + columns.end];
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += *value);
            }
            // SAFETY: every column belongs to one task.
            let out = unsafe { out.part(columns.start, columns.len()) };
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = W::from_f64(sum.to_f64()));
        });
    });
}
