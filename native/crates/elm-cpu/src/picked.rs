//! Slices along an axis that indices name, to or from a tensor that lists them one after another.

use elm_core::View;
use smallvec::SmallVec;

use crate::Pool;
use crate::nd::{Axes, GRAIN, Walk, for_rows};
use crate::view::{Ptr, ptr};
use crate::with_width;

/// `picked[…, ids[i…], …]` beside `listed[…, i…, …]`; steps are `[picked, listed]`.
pub struct Picked<'a> {
    pool: &'a Pool,
    picked: &'a View,
    listed: &'a View,
    ids: &'a [u32],
    /// One entry for each slice: the axes before the indexed one, then those of the indices.
    slices: Axes<2>,
    /// How many of these come before the indexed one.
    before: usize,
    /// Distance of neighbours on the indexed axis.
    step: isize,
    /// The axes of one slice.
    slice: Walk<2>,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Gather,
    Scatter,
}

impl<'a> Picked<'a> {
    /// `index_rank` axes of `listed` from `axis` on stand for the one of `picked`.
    pub fn new(
        pool: &'a Pool,
        picked: &'a View,
        listed: &'a View,
        ids: &'a [u32],
        axis: usize,
        index_rank: usize,
    ) -> Picked<'a> {
        let (from, to) = (&picked.layout, &listed.layout);
        let before = (0..axis).map(|i| (to.shape[i], [from.strides[i], to.strides[i]]));
        let index = (axis..axis + index_rank).map(|i| (to.shape[i], [0, to.strides[i]]));
        let slices: Axes<2> = before.chain(index).collect();
        let tail = |layout: &elm_core::Layout, first: usize| elm_core::Layout {
            shape: SmallVec::from_slice(&layout.shape[first..]),
            strides: SmallVec::from_slice(&layout.strides[first..]),
            offset: 0,
        };
        let slice = Walk::new([&tail(from, axis + 1), &tail(to, axis + index_rank)]);
        Picked { pool, picked, listed, ids, slices, before: axis, step: from.strides[axis], slice }
    }

    /// Writes `listed` from `picked`.
    pub fn gather(&self) {
        with_width!(self.picked.dtype, T => self.move_all::<T>(Direction::Gather, |_| true));
    }

    /// Writes `picked` from `listed`; of several slices for one place the last stays.
    ///
    /// `last` has room for an entry for each place of the indexed axis; it may be empty where
    /// [`Picked::needs_last`] says so.
    pub fn scatter(&self, last: &mut [u32]) {
        if self.listed.elements() <= GRAIN {
            with_width!(self.picked.dtype, T => self.move_all::<T>(Direction::Scatter, |_| true));
            return;
        }
        for (position, &id) in self.ids.iter().enumerate() {
            last[id as usize] = position as u32;
        }
        let (last, ids) = (&*last, self.ids);
        let stays = |position: usize| last[ids[position] as usize] as usize == position;
        with_width!(self.picked.dtype, T => self.move_all::<T>(Direction::Scatter, stays));
    }

    /// Whether slices are written side by side, so that [`Picked::scatter`] must know which one stays.
    pub fn needs_last(listed: &View) -> bool {
        listed.elements() > GRAIN
    }

    /// The distance of neighbours in `listed` along all axes of the indices, if there is one.
    fn straight(&self) -> Option<isize> {
        let axes = &self.slices[self.before..];
        let is_straight = axes.windows(2).all(|pair| pair[0].1[1] == pair[1].1[1] * pair[1].0 as isize);
        is_straight.then(|| axes.last().map_or(0, |(_, steps)| steps[1]))
    }

    /// Slices of about `GRAIN` elements a task; a call of no more than that is one task and goes in order.
    fn move_all<T: Copy + Send>(&self, direction: Direction, wanted: impl Fn(usize) -> bool + Sync) {
        let Picked { ids, step, .. } = *self;
        let (slices, slice) = (&self.slices, &self.slice);
        let (picked, listed) = (ptr::<T>(self.picked), ptr::<T>(self.listed));
        let count: usize = slices.iter().map(|(dim, _)| dim).product();
        let len = slice.rows() * slice.inner;
        if count == 0 || len == 0 {
            return;
        }
        let [near, far] = slice.steps;
        let move_row = |[a, b]: [isize; 2], len: usize| {
            let (picked, listed) = (picked.moved(a), listed.moved(b));
            // SAFETY: the ids were checked, so both sides lie inside their views; each target is written by one
            // task, in order, or only by the slice that stays.
            unsafe {
                match direction {
                    Direction::Gather => move_elements(listed, picked, [far, near], len),
                    Direction::Scatter => move_elements(picked, listed, [near, far], len),
                }
            }
        };
        let start = |[a, b]: [isize; 2], position: usize| [a + ids[position] as isize * step, b];
        if len > GRAIN {
            let mut position = 0;
            for_rows(slices, 0..count, |at| {
                let [a, b] = start(at, position);
                if wanted(position) {
                    slice.run(self.pool, |[i, j], len| move_row([a + i, b + j], len));
                }
                position = (position + 1) % ids.len();
            });
            return;
        }
        if let (1, 16.., Some(along)) = (len, ids.len(), self.straight()) {
            let piece = ids.len().min(GRAIN);
            let (pieces, before) = (ids.len().div_ceil(piece), &slices[..self.before]);
            self.pool.run_ranges(count / ids.len() * pieces, GRAIN / piece, |tasks| {
                for task in tasks {
                    let positions = task % pieces * piece..(task % pieces * piece + piece).min(ids.len());
                    for_rows(before, task / pieces..task / pieces + 1, |[a, b]| {
                        for position in positions.clone().filter(|&position| wanted(position)) {
                            move_row([a + ids[position] as isize * step, b + position as isize * along], 1);
                        }
                    });
                }
            });
            return;
        }
        let is_run = slice.rows() == 1;
        self.pool.run_ranges(count, GRAIN / len, |range| {
            let mut position = range.start % ids.len();
            for_rows(slices, range, |at| {
                let [a, b] = start(at, position);
                if wanted(position) {
                    if is_run {
                        move_row([a, b], len);
                    } else {
                        slice.each(|[i, j], len| move_row([a + i, b + j], len));
                    }
                }
                position += 1;
                if position == ids.len() {
                    position = 0;
                }
            });
        });
    }
}

/// # Safety
/// `len` elements from both pointers on lie inside live storages that do not meet; nobody else touches the targets.
#[inline(always)]
unsafe fn move_elements<T: Copy>(target: Ptr<T>, source: Ptr<T>, [to, from]: [isize; 2], len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if len == 1 {
            target.write(0, source.read(0));
        } else if [to, from] == [1, 1] {
            std::ptr::copy_nonoverlapping(source.raw(), target.raw(), len);
        } else {
            (0..len as isize).for_each(|i| target.write(i * to, source.read(i * from)));
        }
    }
}
