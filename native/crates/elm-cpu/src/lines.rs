//! Kernels that work along one axis: every line of it, whatever its step in memory.

use elm_core::{Layout, Shape, Strides};

use crate::Pool;
use crate::element::{Float, Real};
use crate::nd::Walk;
use crate::view::Ptr;

/// Elements that one task handles, about; fixed, so that the split does not depend on the number of threads.
const GRAIN: usize = 8192;

/// The lines along one axis of `N` operands, whose shapes agree but for that axis.
pub struct Lines<const N: usize> {
    walk: Walk<N>,
    /// Steps of the operands along a line.
    pub steps: [isize; N],
}

impl<const N: usize> Lines<N> {
    pub fn new(axis: usize, layouts: [&Layout; N]) -> Lines<N> {
        let others = layouts.map(|layout| without(layout, axis));
        Lines {
            walk: Walk::new(std::array::from_fn(|i| &others[i])),
            steps: layouts.map(|layout| layout.strides[axis]),
        }
    }

    pub fn count(&self) -> usize {
        self.walk.rows() * self.walk.inner
    }

    /// Where line `line`, counted row-major, starts in each operand.
    pub fn start(&self, line: usize) -> [isize; N] {
        let mut at = self.walk.start(line / self.walk.inner);
        let along = (line % self.walk.inner) as isize;
        at.iter_mut().zip(self.walk.steps).for_each(|(at, step)| *at += along * step);
        at
    }

    /// Calls `body` with ranges of lines of `length` elements that cover all; the ranges run side by side.
    pub fn run(&self, pool: &Pool, length: usize, body: impl Fn(std::ops::Range<usize>) + Sync) {
        pool.run_ranges(self.count(), GRAIN / length.max(1), body);
    }
}

fn without(layout: &Layout, axis: usize) -> Layout {
    let (mut shape, mut strides) = (Shape::from_slice(&layout.shape), Strides::from_slice(&layout.strides));
    shape.remove(axis);
    strides.remove(axis);
    Layout { shape, strides, offset: layout.offset }
}

/// Loads a line into `buffer`.
///
/// # Safety
/// The line of `buffer.len()` elements from `start` lies inside the storage, and nobody writes it meanwhile.
#[inline(always)]
pub unsafe fn load<T: Float>(from: Ptr<T>, start: isize, step: isize, buffer: &mut [T::Acc]) {
    // SAFETY: the caller's promise.
    unsafe {
        if step == 1 {
            let line = from.moved(start).slice(0, buffer.len());
            buffer.iter_mut().zip(line).for_each(|(slot, x)| *slot = x.load());
        } else {
            for (i, slot) in buffer.iter_mut().enumerate() {
                *slot = from.read(start + i as isize * step).load();
            }
        }
    }
}

/// Stores `values` as a line.
///
/// # Safety
/// The line lies inside the storage, and nobody else touches it meanwhile.
#[inline(always)]
pub unsafe fn store<T: Float>(to: Ptr<T>, start: isize, step: isize, values: &[T::Acc]) {
    // SAFETY: the caller's promise.
    unsafe {
        if step == 1 {
            let line = to.moved(start).slice_mut(0, values.len());
            line.iter_mut().zip(values).for_each(|(slot, &value)| *slot = T::store(value));
        } else {
            for (i, &value) in values.iter().enumerate() {
                to.write(start + i as isize * step, T::store(value));
            }
        }
    }
}

/// Running values that [`fold`] keeps, so that additions need not wait for each other.
const LANES: usize = 32;

/// Folds a slice with `f` in a fixed order: 32 running values, which meet pairwise at the end.
#[inline(always)]
pub fn fold<A: Copy, X: Copy>(x: &[X], start: A, step: impl Fn(A, X) -> A, join: impl Fn(A, A) -> A) -> A {
    let mut lanes = [start; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, x);
    }
    meet(lanes, join)
}

/// `Σ a · b`, in the order of [`fold`].
#[inline(always)]
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    let mut lanes = [R::ZERO; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = left.remainder().iter().zip(right.remainder());
    for (a, b) in left.zip(right) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = a.mul_add(b, *lane);
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, (&a, &b))| *lane = a.mul_add(b, *lane));
    meet(lanes, |a, b| a + b)
}

/// Joins running values pairwise.
#[inline(always)]
pub fn meet<A: Copy, const N: usize>(mut lanes: [A; N], join: impl Fn(A, A) -> A) -> A {
    let mut width = N / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_start_where_their_index_says() {
        let layout = Layout::contiguous(&[2, 3, 4]);
        let lines = Lines::new(1, [&layout]);
        assert_eq!((lines.count(), lines.steps), (8, [4]));
        let starts: Vec<isize> = (0..8).map(|line| lines.start(line)[0]).collect();
        assert_eq!(starts, [0, 1, 2, 3, 12, 13, 14, 15]);
        let turned = Layout::contiguous(&[4, 5]).permute(&[1, 0]);
        let lines = Lines::new(0, [&turned]);
        assert_eq!((0..4).map(|line| lines.start(line)[0]).collect::<Vec<_>>(), [0, 5, 10, 15]);
    }

    #[test]
    fn a_fold_takes_every_element_once() {
        for length in [0usize, 1, 31, 32, 33, 100] {
            let x: Vec<u64> = (1..=length as u64).collect();
            assert_eq!(fold(&x, 0, |a, x| a + x, |a, b| a + b), (length * (length + 1) / 2) as u64);
        }
    }
}
