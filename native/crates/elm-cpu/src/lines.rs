//! Kernels that work along one axis: every line of it, whatever its step in memory.

use elm_core::{Layout, Shape, Strides, View};

use crate::Pool;
use crate::element::Real;
use crate::nd::Walk;
use crate::scratch;
use crate::simd::{Slices, Vector};
use crate::stream_store::Stores;
use crate::view::{Ptr, ptr};

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
pub unsafe fn load<T: Slices>(from: Ptr<T>, start: isize, step: isize, buffer: &mut [T::Acc]) {
    // SAFETY: the caller's promise.
    unsafe {
        if step == 1 {
            let line = from.moved(start).slice(0, buffer.len());
            T::widen(line, buffer);
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
pub unsafe fn store<T: Slices>(to: Ptr<T>, start: isize, step: isize, values: &[T::Acc]) {
    // SAFETY: the caller's promise.
    unsafe {
        if step == 1 {
            let line = to.moved(start).slice_mut(0, values.len());
            T::narrow(values, line);
        } else {
            for (i, &value) in values.iter().enumerate() {
                to.write(start + i as isize * step, T::store(value));
            }
        }
    }
}

/// A line in the accumulator: itself where it is dense and that is its type, else a copy in `room`.
///
/// # Safety
/// The line of `room.len()` elements from `start` lies inside the storage, and nobody writes it meanwhile.
#[inline(always)]
pub unsafe fn wide<T: Slices>(from: Ptr<T>, start: isize, step: isize, room: &mut [T::Acc]) -> &[T::Acc] {
    // SAFETY: the caller's promise.
    unsafe {
        if step == 1 {
            return T::wide(from.moved(start).slice(0, room.len()), room);
        }
        load(from, start, step, room);
    }
    room
}

/// Calls `body` with each line of `x` and of `also` along `axis` and with the line of `out` to write, all in the
/// accumulator. Without `also` its lines are empty. Only lines that need it are copied.
#[inline(always)]
pub fn map_lines<T: Slices>(
    pool: &Pool,
    axis: usize,
    x: &View,
    also: Option<&View>,
    out: &View,
    body: impl Fn(&[T::Acc], &[T::Acc], &mut [T::Acc]) + Sync,
) {
    let length = x.shape()[axis];
    let second = also.unwrap_or(x);
    let along = Lines::new(axis, [&x.layout, &second.layout, &out.layout]);
    let (from, other, to, steps) = (ptr::<T>(x), ptr::<T>(second), ptr::<T>(out), along.steps);
    let has_second = also.is_some();
    let (is_dense, stores) = (steps[2] == 1, Stores::of(out));
    let in_place = T::WIDE && is_dense && !stores.past_caches();
    let part = scratch::aligned(length);
    along.run(
        pool,
        length,
        #[inline(always)]
        |lines| {
            scratch::with(
                3 * part,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    let (for_x, rest) = room.split_at_mut(part);
                    let (for_second, for_out) = rest.split_at_mut(part);
                    let (for_x, for_second, for_out) =
                        (&mut for_x[..length], &mut for_second[..length], &mut for_out[..length]);
                    for line in lines {
                        let at = along.start(line);
                        // SAFETY: lines stay inside the views; every output line belongs to one task, and the cast names the type
                        // that it has.
                        unsafe {
                            let x = wide(from, at[0], steps[0], for_x);
                            let second = match has_second {
                                true => wide(other, at[1], steps[1], for_second),
                                false => &[],
                            };
                            let out = match in_place {
                                true => to.moved(at[2]).cast::<T::Acc>().slice_mut(0, length),
                                false => &mut *for_out,
                            };
                            body(x, second, out);
                            if !in_place && is_dense {
                                stores.fill(
                                    to.moved(at[2]).slice_mut(0, length),
                                    #[inline(always)]
                                    |at, part| T::narrow(&for_out[at], part),
                                );
                            } else if !in_place {
                                store(to, at[2], steps[2], for_out);
                            }
                        }
                    }
                },
            );
        },
    );
}

/// Running values of the reductions below, so that additions need not wait for each other.
pub const LANES: usize = 64;
/// Vectors that hold them.
const VECTORS: usize = 8;
/// Elements that are computed before they are added: some vectors of any level.
const BLOCK: usize = 256;

/// Running sums in a fixed order: element `i` goes to lane `i mod 64`, and the lanes meet pairwise at the end.
#[derive(Clone, Copy)]
pub struct Running<R: Real>([R::Eight; VECTORS]);

impl<R: Real> Running<R> {
    #[inline(always)]
    pub fn new(start: R) -> Running<R> {
        const { assert!(R::Eight::LANES * VECTORS == LANES) };
        Running([R::Eight::splat(start); VECTORS])
    }

    /// Takes `N` slices of one length, 64 elements a step: `step(running, vectors)` for each vector.
    ///
    /// Slices that end inside a step are continued with `rest`, which must change nothing.
    #[inline(always)]
    pub fn take<const N: usize>(
        &mut self,
        slices: [&[R]; N],
        rest: R,
        step: impl Fn(R::Eight, [R::Eight; N]) -> R::Eight,
    ) {
        let len = slices.map(<[R]>::len).into_iter().min().unwrap_or(0);
        let whole = len - len % LANES;
        for at in (0..whole).step_by(LANES) {
            // SAFETY: `at + 64` lies inside every slice.
            unsafe { self.step(slices.map(|slice| slice.as_ptr().add(at)), &step) };
        }
        if whole < len {
            let mut ends = [[rest; LANES]; N];
            for (end, slice) in ends.iter_mut().zip(slices) {
                end[..len - whole].copy_from_slice(&slice[whole..len]);
            }
            // SAFETY: the arrays have 64 elements.
            unsafe { self.step(ends.each_ref().map(|end| end.as_ptr()), &step) };
        }
    }

    /// # Safety
    /// 64 elements are readable from each pointer on.
    #[inline(always)]
    unsafe fn step<const N: usize>(
        &mut self,
        from: [*const R; N],
        step: &impl Fn(R::Eight, [R::Eight; N]) -> R::Eight,
    ) {
        for u in 0..VECTORS {
            let mut vectors = [self.0[u]; N];
            for i in 0..N {
                // SAFETY: the caller's promise.
                vectors[i] = unsafe { R::Eight::load(from[i].add(u * R::Eight::LANES)) };
            }
            self.0[u] = (*step)(self.0[u], vectors);
        }
    }

    #[inline(always)]
    fn add(&mut self, x: &[R]) {
        self.take(
            [x],
            R::ZERO,
            #[inline(always)]
            |sum, [x]| sum.plus(x),
        );
    }

    #[inline(always)]
    pub fn sum(self) -> R {
        meet(self.0, |a, b| a.plus(b)).sum()
    }

    #[inline(always)]
    pub fn largest(self) -> R {
        let mut lanes = [R::ZERO; LANES];
        // SAFETY: the array has room for every vector.
        unsafe { meet(self.0, |a, b| a.larger(b)).store(lanes.as_mut_ptr()) };
        lanes[1..R::Eight::LANES].iter().fold(lanes[0], |held, &x| if x > held { x } else { held })
    }
}

/// The largest element, `−∞` of none; NaN is skipped.
#[inline(always)]
pub fn largest<R: Real>(line: &[R]) -> R {
    let mut held = Running::new(-R::INFINITY);
    held.take(
        [line],
        -R::INFINITY,
        #[inline(always)]
        |held, [x]| x.larger(held),
    );
    held.largest()
}

/// `Σ x`.
#[inline(always)]
pub fn sum<R: Real>(x: &[R]) -> R {
    let mut sum = Running::new(R::ZERO);
    sum.add(x);
    sum.sum()
}

/// `Σ a · b`.
#[inline(always)]
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    let mut sum = Running::new(R::ZERO);
    sum.take(
        [a, b],
        R::ZERO,
        #[inline(always)]
        |sum, [a, b]| a.mul_add(b, sum),
    );
    sum.sum()
}

/// `y[i] = f(x[i])` and `Σ y`.
#[inline(always)]
pub fn map_and_sum<R: Real>(x: &[R], y: &mut [R], f: impl Fn(R) -> R) -> R {
    let mut sum = Running::new(R::ZERO);
    for (x, y) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
        sum.add(y);
    }
    sum.sum()
}

/// `Σ f(x)`.
#[inline(always)]
pub fn sum_of<R: Real>(x: &[R], f: impl Fn(R) -> R) -> R {
    let mut sum = Running::new(R::ZERO);
    let mut block = [R::ZERO; BLOCK];
    for x in x.chunks(BLOCK) {
        let block = &mut block[..x.len()];
        for (y, &x) in block.iter_mut().zip(x) {
            *y = f(x);
        }
        sum.add(block);
    }
    sum.sum()
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
    fn reductions_take_every_element_once() {
        for length in [0usize, 1, 63, 64, 65, 255, 257, 700] {
            let x: Vec<f64> = (1..=length).map(|i| i as f64).collect();
            let mut y = vec![0.0; length];
            let want = (length * (length + 1) / 2) as f64;
            assert_eq!(
                [sum(&x), sum_of(&x, |x| 2.0 * x), map_and_sum(&x, &mut y, |x| 3.0 * x)],
                [want, 2.0 * want, 3.0 * want]
            );
            assert!(y.iter().zip(&x).all(|(y, x)| *y == 3.0 * x));
            assert_eq!(dot(&x, &vec![0.5; length]), want / 2.0);
            let narrow: Vec<f32> = x.iter().map(|x| *x as f32 - 500.0).collect();
            let want = if length == 0 { f32::NEG_INFINITY } else { length as f32 - 500.0 };
            assert_eq!(largest(&narrow), want);
        }
        assert_eq!(largest(&[f32::NAN, 1.0, f32::NAN]), 1.0);
    }
}
