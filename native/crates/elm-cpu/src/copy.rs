//! Copies of any layout into any other: straight runs as such, turned axes tile by tile.

use elm_core::{Layout, View};
use smallvec::SmallVec;

use crate::nd::{Axes, GRAIN, for_rows};
use crate::stream_store::{LINE, Stores, prefetch};
use crate::turn::{Word, band, turn};
use crate::view::{Ptr, ptr};
use crate::{Pool, with_width};

/// Lines of the target that one task writes where the source is turned: a cache line of bytes.
const TILE: usize = 64;

/// Lines of the target that one task writes a little of, where the source is turned but straight along its own axis.
const TURNED_LINES: usize = 4096;

/// Bytes of a small page of memory.
const PAGE: usize = 4096;

/// Elements of a turned row that one task writes.
const TURNED: usize = 1024;

/// Copies any layout into any other of the same shape and width. The two must not share memory.
pub fn copy(pool: &Pool, from: &View, to: &View) {
    debug_assert_eq!(from.shape(), to.shape());
    if to.elements() == 0 {
        return;
    }
    let plan = Plan::new(&to.layout, &from.layout);
    with_width!(from.dtype, T => {
        let (target, source) = (ptr::<T>(to).moved(plan.start[0]), ptr::<T>(from).moved(plan.start[1]));
        plan.run(pool, Stores::of(to), target, source);
    });
}

/// The axes of a copy in the order in which the target lies in memory; steps are `[target, source]`.
struct Plan {
    outer: Axes<2>,
    /// An axis along which the source is straighter than along the inner one.
    turned: Option<(usize, [isize; 2])>,
    inner: (usize, [isize; 2]),
    /// Steps from the first elements of both views to where the walk starts.
    start: [isize; 2],
}

impl Plan {
    fn new(to: &Layout, from: &Layout) -> Plan {
        let mut axes: Axes<2> = (0..to.rank())
            .filter(|&axis| to.shape[axis] != 1)
            .map(|axis| (to.shape[axis], [to.strides[axis], from.strides[axis]]))
            .collect();
        // Backward targets are walked from their other end, so that straight runs are seen as such.
        let mut start = [0; 2];
        for (dim, steps) in axes.iter_mut().filter(|(_, steps)| steps[0] < 0) {
            for (start, step) in start.iter_mut().zip(steps) {
                *start += (*dim as isize - 1) * *step;
                *step = -*step;
            }
        }
        axes.sort_by_key(|(_, steps)| std::cmp::Reverse(steps[0]));
        let mut outer: Axes<2> = SmallVec::new();
        for (dim, steps) in axes {
            match outer.last_mut() {
                Some((last, above)) if (0..2).all(|i| above[i] == steps[i] * dim as isize) => {
                    *last *= dim;
                    *above = steps;
                }
                _ => outer.push((dim, steps)),
            }
        }
        let inner = outer.pop().unwrap_or((1, [1, 1]));
        let straightest = (0..outer.len())
            .filter(|&axis| outer[axis].1[1] != 0)
            .min_by_key(|&axis| outer[axis].1[1].unsigned_abs())
            .filter(|&axis| outer[axis].1[1].unsigned_abs() < inner.1[1].unsigned_abs());
        let turned = straightest.map(|axis| outer.remove(axis));
        Plan { outer, turned, inner, start }
    }

    fn run<T: Word>(&self, pool: &Pool, stores: Stores, target: Ptr<T>, source: Ptr<T>) {
        match self.turned {
            None => self.run_rows(pool, stores, target, source),
            Some(turned) if self.is_straight(turned, T::SIDE) => {
                self.run_turned(pool, stores, turned, target, source);
            }
            Some(turned) => self.run_tiles(pool, turned, target, source),
        }
    }

    /// Whether source and target are straight along one axis each, and squares of `side` fit.
    fn is_straight(&self, (lines, across): (usize, [isize; 2]), side: usize) -> bool {
        let (len, along) = self.inner;
        along[0] == 1 && across[1] == 1 && lines >= side && len >= 2 * side
    }

    fn run_rows<T: Word>(&self, pool: &Pool, stores: Stores, target: Ptr<T>, source: Ptr<T>) {
        let (len, steps) = self.inner;
        let piece = GRAIN.min(len);
        let pieces = len.div_ceil(piece);
        let mut axes = self.outer.clone();
        axes.push((pieces, steps.map(|step| step * piece as isize)));
        let rows: usize = axes.iter().map(|(dim, _)| dim).product();
        // The processor does not foresee short rows that lie apart; a page of them is asked for in advance.
        let row = len * size_of::<T>();
        let is_short = stores.past_caches() && steps == [1, 1] && row < PAGE;
        let ahead = self.outer.last().map_or(0, |(_, steps)| steps[1] * (PAGE / row.max(LINE)) as isize);
        pool.run_ranges(
            rows,
            GRAIN / piece,
            #[inline(always)]
            |range| {
                let mut part = range.start % pieces;
                for_rows(
                    &axes,
                    range,
                    #[inline(always)]
                    |[to, from]| {
                        let count = piece.min(len - part * piece);
                        if is_short {
                            let next = source.moved(from + ahead).raw();
                            (0..row).step_by(LINE).for_each(|at| prefetch(next.wrapping_byte_add(at)));
                        }
                        // SAFETY: the walk stays inside both views and visits each target element once.
                        unsafe { copy_row(stores, target.moved(to), source.moved(from), steps, count) };
                        part = if part + 1 == pieces { 0 } else { part + 1 };
                    },
                );
            },
        );
    }

    /// Bands of the target, as wide as a cache line, down all its lines: along the source that is straight on.
    fn run_turned<T: Word>(
        &self,
        pool: &Pool,
        stores: Stores,
        (lines, across): (usize, [isize; 2]),
        target: Ptr<T>,
        source: Ptr<T>,
    ) {
        let (len, along) = self.inner;
        let width = band(stores, target, across[0]);
        let (bands, pieces) = (len.div_ceil(width), lines.div_ceil(TURNED_LINES));
        let mut axes = self.outer.clone();
        axes.push((bands, along.map(|step| step * width as isize)));
        axes.push((pieces, across.map(|step| step * TURNED_LINES as isize)));
        let tasks: usize = axes.iter().map(|(dim, _)| dim).product();
        let grain = GRAIN / (lines.min(TURNED_LINES) * len.min(width));
        pool.run_ranges(
            tasks,
            grain,
            #[inline(always)]
            |range| {
                let mut task = range.start;
                for_rows(
                    &axes,
                    range,
                    #[inline(always)]
                    |[to, from]| {
                        let (band, piece) = (task / pieces % bands, task % pieces);
                        let size =
                            [width.min(len - band * width), TURNED_LINES.min(lines - piece * TURNED_LINES)];
                        let (target, source) = (target.moved(to), source.moved(from));
                        // SAFETY: the walk stays inside both views and visits each target element once.
                        unsafe { turn(stores, (target, across[0]), (source, along[1]), size) };
                        task += 1;
                    },
                );
            },
        );
    }

    /// Turned copies of any steps.
    fn run_tiles<T: Word>(
        &self,
        pool: &Pool,
        (lines, across): (usize, [isize; 2]),
        target: Ptr<T>,
        source: Ptr<T>,
    ) {
        let (len, along) = self.inner;
        let (bands, pieces) = (lines.div_ceil(TILE), len.div_ceil(TURNED));
        let mut axes = self.outer.clone();
        axes.push((bands, across.map(|step| step * TILE as isize)));
        axes.push((pieces, along.map(|step| step * TURNED as isize)));
        let tasks: usize = axes.iter().map(|(dim, _)| dim).product();
        let grain = GRAIN / (lines.min(TILE) * len.min(TURNED));
        pool.run_ranges(tasks, grain, |range| {
            let mut task = range.start;
            for_rows(&axes, range, |[to, from]| {
                let (band, piece) = (task / pieces % bands, task % pieces);
                let size = [TILE.min(lines - band * TILE), TURNED.min(len - piece * TURNED)];
                // SAFETY: the walk stays inside both views and visits each target element once.
                unsafe { copy_tiles(target.moved(to), source.moved(from), across, along, size) };
                task += 1;
            });
        });
    }
}

/// # Safety
/// `count` elements from both pointers on, `steps` apart, lie inside live storages; nobody else touches the targets.
#[inline(always)]
unsafe fn copy_row<T: Copy>(
    stores: Stores,
    target: Ptr<T>,
    source: Ptr<T>,
    [to, from]: [isize; 2],
    count: usize,
) {
    // SAFETY: the caller's promise; target and source are different storages, or parts that do not meet.
    unsafe {
        match [to, from] {
            [1, 1] => stores.copy(source.slice(0, count), target.slice_mut(0, count)),
            [1, 0] => {
                let value = source.read(0);
                stores.fill(target.slice_mut(0, count), |_, part| part.fill(value));
            }
            [1, from] => stores.fill(target.slice_mut(0, count), |range, part| {
                for (i, y) in range.zip(part) {
                    *y = source.read(i as isize * from);
                }
            }),
            _ => (0..count as isize).for_each(|i| target.write(i * to, source.read(i * from))),
        }
    }
}

/// A band of `lines` × `len` elements, square by square.
///
/// # Safety
/// As for [`copy_row`], for all of the band.
unsafe fn copy_tiles<T: Copy>(
    target: Ptr<T>,
    source: Ptr<T>,
    across: [isize; 2],
    along: [isize; 2],
    [lines, len]: [usize; 2],
) {
    // A square has the side of a cache line. Longer ones would meet in the same sets of the first cache where a step
    // is a power of two.
    let side = 64 / size_of::<T>();
    for (line, first) in
        (0..lines).step_by(side).flat_map(|line| (0..len).step_by(side).map(move |i| (line, i)))
    {
        for line in line..lines.min(line + side) {
            let start = |i: usize| line as isize * across[i] + first as isize * along[i];
            // SAFETY: the caller's promise; a square is a part of the band.
            unsafe {
                let (to, from) = (target.moved(start(0)), source.moved(start(1)));
                copy_row(Stores::PLAIN, to, from, along, side.min(len - first));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use elm_core::DType;

    use super::*;

    fn view(memory: &mut [u32], layout: Layout) -> View {
        View { base: memory.as_mut_ptr().cast(), dtype: DType::U32, layout }
    }

    /// Copies `from` into `to`, both over buffers that hold them with gaps, and compares element by element.
    fn check(to: Layout, from: Layout) {
        let words = 200_000.max(2 * to.elements() as u32 + 100);
        let mut source: Vec<u32> = (0..words).collect();
        let mut target = vec![u32::MAX; words as usize];
        let (from, to) = (view(&mut source, from), view(&mut target, to));
        copy(&Pool::new(2), &from, &to);
        let at = |layout: &Layout, mut flat: usize| {
            let mut at = layout.offset as isize;
            for (&dim, &stride) in layout.shape.iter().zip(&layout.strides).rev() {
                at += (flat % dim) as isize * stride;
                flat /= dim;
            }
            at as usize
        };
        for flat in 0..to.elements() {
            assert_eq!(
                target[at(&to.layout, flat)],
                source[at(&from.layout, flat)],
                "{flat} of {to:?} {from:?}"
            );
        }
        let written = target.iter().filter(|&&v| v != u32::MAX).count();
        assert_eq!(written, to.elements(), "nothing beside the target is written: {to:?}");
    }

    #[test]
    fn every_pair_of_layouts_copies_every_element() {
        for shape in
            [&[5usize, 7][..], &[33, 65], &[2, 3, 40, 5], &[3, 1, 1100], &[2, 20_000], &[], &[1], &[0, 3]]
        {
            let dense = Layout::contiguous(shape);
            let axes: Vec<usize> = (0..shape.len()).rev().collect();
            let turned: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
            let turned = Layout::contiguous(&turned).permute(&axes);
            let strides = dense.strides.iter().map(|s| s * 2).collect();
            let strided = Layout { strides, offset: 3, ..dense.clone() };
            let starts: Vec<i64> = shape.iter().map(|&dim| dim as i64 - 1).collect();
            let reversed = dense.slice(&starts, shape, &vec![-1; shape.len()]).unwrap();
            let all = [dense, turned, strided, reversed];
            for to in &all {
                all.iter().for_each(|from| check(to.clone(), from.clone()));
                let row = Layout::contiguous(&shape[shape.len().min(1)..]);
                check(to.clone(), row.broadcast_to(shape).unwrap());
            }
        }
    }

    /// Outputs of 16 MiB and more pass the caches; rows and bands start at lines of memory or between them.
    #[test]
    fn large_copies_are_as_right_as_small_ones() {
        for shape in [&[2304usize, 2048][..], &[2305, 2047], &[70_000, 65], &[34, 1024, 128]] {
            let dense = Layout::contiguous(shape);
            let axes: Vec<usize> = (0..shape.len()).rev().collect();
            let turned: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
            let turned = Layout::contiguous(&turned).permute(&axes);
            check(dense.clone(), dense.clone());
            check(dense.clone(), turned.clone());
            check(turned, dense.clone());
            let row = Layout::contiguous(&shape[1..]);
            check(dense, row.broadcast_to(shape).unwrap());
        }
        let halves = Layout::contiguous(&[1024, 34, 128]).permute(&[1, 0, 2]);
        check(Layout::contiguous(&[34, 1024, 128]), halves);
    }
}
