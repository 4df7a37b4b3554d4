//! Walking several strided tensors at once: axes that lie together are merged, the innermost becomes a plain loop.

use std::ops::Range;

use elm_core::{Layout, MAX_RANK};
use smallvec::SmallVec;

use crate::Pool;

/// Elements that one task handles; fixed, so that the split does not depend on the number of threads.
pub const GRAIN: usize = 16 * 1024;

/// Axes with the step of each of `N` operands, outer ones first.
pub type Axes<const N: usize> = SmallVec<[(usize, [isize; N]); MAX_RANK]>;

/// Calls `body` with where each operand stands at rows `range` of `axes`, in row-major order.
///
/// Divides once and then counts as an odometer does.
#[inline(always)]
pub fn for_rows<const N: usize>(
    axes: &[(usize, [isize; N])],
    range: Range<usize>,
    mut body: impl FnMut([isize; N]),
) {
    let (mut index, mut at, mut row) = ([0; MAX_RANK], [0; N], range.start);
    for (axis, (dim, steps)) in axes.iter().enumerate().rev() {
        index[axis] = row % dim;
        row /= dim;
        (0..N).for_each(|i| at[i] += index[axis] as isize * steps[i]);
    }
    for _ in range {
        body(at);
        for (axis, (dim, steps)) in axes.iter().enumerate().rev() {
            index[axis] += 1;
            (0..N).for_each(|i| at[i] += steps[i]);
            if index[axis] < *dim {
                break;
            }
            index[axis] = 0;
            (0..N).for_each(|i| at[i] -= *dim as isize * steps[i]);
        }
    }
}

/// Axes common to `N` operands of one shape, merged where all of them allow it.
pub struct Walk<const N: usize> {
    /// Outer axes first: size and step of each operand.
    outer: Axes<N>,
    pub inner: usize,
    pub steps: [isize; N],
}

impl<const N: usize> Walk<N> {
    /// `layouts` all have the same shape (broadcast first). Offsets are the caller's: pointers start at them.
    pub fn new(layouts: [&Layout; N]) -> Walk<N> {
        let mut merged: Axes<N> = SmallVec::new();
        for axis in 0..layouts[0].rank() {
            let dim = layouts[0].shape[axis];
            if dim == 1 {
                continue;
            }
            let steps: [isize; N] = std::array::from_fn(|i| layouts[i].strides[axis]);
            match merged.last_mut() {
                Some((last, outer)) if (0..N).all(|i| outer[i] == steps[i] * dim as isize) => {
                    *last *= dim;
                    *outer = steps;
                }
                _ => merged.push((dim, steps)),
            }
        }
        let (inner, steps) = merged.pop().unwrap_or((1, [0; N]));
        Walk { outer: merged, inner, steps }
    }

    pub fn rows(&self) -> usize {
        self.outer.iter().map(|(dim, _)| dim).product()
    }

    /// Where row `row` starts in each operand.
    pub fn start(&self, mut row: usize) -> [isize; N] {
        let mut at = [0; N];
        for (dim, steps) in self.outer.iter().rev() {
            let index = (row % dim) as isize;
            row /= dim;
            for i in 0..N {
                at[i] += index * steps[i];
            }
        }
        at
    }

    /// Calls `body(starts, len)` for pieces of rows that cover everything; the pieces run side by side.
    pub fn run(&self, pool: &Pool, body: impl Fn([isize; N], usize) + Sync) {
        self.run_by(pool, GRAIN, body);
    }

    /// The same with about `grain` elements a task.
    pub fn run_by(&self, pool: &Pool, grain: usize, body: impl Fn([isize; N], usize) + Sync) {
        let grain = grain.max(1);
        pool.run(
            self.pieces(grain),
            #[inline(always)]
            |piece| self.piece(grain, piece, &body),
        );
    }

    /// Pieces of the work of [`Walk::run`], for kernels that share tasks among several walks.
    pub fn tasks(&self) -> usize {
        self.pieces(GRAIN)
    }

    /// Piece number `task`.
    #[inline(always)]
    pub fn task(&self, task: usize, body: impl Fn([isize; N], usize)) {
        self.piece(GRAIN, task, &body);
    }

    fn pieces(&self, grain: usize) -> usize {
        if self.inner == 0 {
            0
        } else if self.inner >= grain {
            self.rows() * self.inner.div_ceil(grain)
        } else {
            self.rows().div_ceil(grain / self.inner)
        }
    }

    /// `body` is called in one place, since it is inlined there for each level.
    #[inline(always)]
    fn piece(&self, grain: usize, piece: usize, body: &impl Fn([isize; N], usize)) {
        let (rows, from) = if self.inner >= grain {
            let pieces = self.inner.div_ceil(grain);
            (piece / pieces..piece / pieces + 1, piece % pieces * grain)
        } else {
            let rows = grain / self.inner;
            (piece * rows..((piece + 1) * rows).min(self.rows()), 0)
        };
        let len = grain.min(self.inner - from);
        for_rows(
            &self.outer,
            rows,
            #[inline(always)]
            |mut at| {
                at.iter_mut().zip(self.steps).for_each(|(at, step)| *at += from as isize * step);
                // A call by way of `&F` would be a function of its own.
                (*body)(at, len);
            },
        );
    }

    /// Calls `body(starts, len)` for every row, on this thread and in row-major order.
    pub fn each(&self, mut body: impl FnMut([isize; N], usize)) {
        if self.inner > 0 {
            for_rows(&self.outer, 0..self.rows(), |at| body(at, self.inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_walk_visits_every_position_once() {
        let pool = Pool::new(2);
        for shape in [&[2usize, 3, 4][..], &[1], &[], &[5, 1, 7], &[3, 40_000], &[0, 4]] {
            let base = Layout::contiguous(shape);
            let axes: Vec<usize> = (0..shape.len()).rev().collect();
            let turned =
                Layout::contiguous(&axes.iter().map(|&a| shape[a]).collect::<Vec<_>>()).permute(&axes);
            let seen = Mutex::new(Vec::new());
            let walk = Walk::new([&base, &turned]);
            walk.run(&pool, |at, len| {
                let mut seen = seen.lock().unwrap();
                (0..len as isize).for_each(|i| seen.push(at[1] + i * walk.steps[1]));
            });
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, (0..base.elements() as isize).collect::<Vec<_>>(), "{shape:?}");
        }
    }

    #[test]
    fn contiguous_operands_merge_into_one_row() {
        let layout = Layout::contiguous(&[4, 5, 6]);
        let walk = Walk::new([&layout, &layout]);
        assert_eq!((walk.rows(), walk.inner), (1, 120));
    }
}
