//! Reductions of any layout over any set of axes.
//!
//! Axes that lie together are merged. Where the innermost reduced axis is dense, elements go into several running
//! values at once; where a kept axis is, whole rows are folded into a block of running values. Long reductions are
//! cut into segments of fixed size, whose results are joined in order.

use elm_core::View;
use smallvec::SmallVec;

use crate::Pool;
use crate::lines::meet;
use crate::stream_store::{LINE, prefetch};
use crate::view::{Ptr, ptr};

/// A way to reduce elements to one value an output.
pub trait Fold: Sync {
    type In: Copy + Send + Sync;
    /// What an element is before it is folded, such as the f32 of a bf16.
    type Loaded: Copy;
    type Acc: Copy + Send + Sync;
    /// What is known of an output beforehand, `()` for most.
    type Param: Copy;
    fn param(&self, output: usize) -> Self::Param;
    /// The value over nothing.
    fn start(&self) -> Self::Acc;
    fn load(&self, x: Self::In) -> Self::Loaded;
    fn step(&self, acc: Self::Acc, x: Self::Loaded, param: Self::Param) -> Self::Acc;
    fn join(&self, a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Takes the value of the output at row-major position `output`.
    fn finish(&self, output: usize, acc: Self::Acc);
}

/// Elements of a segment; also what one task handles, about. Fixed: the split must not know the threads.
const SEGMENT: usize = 16 * 1024;
/// Running values side by side.
const LANES: usize = 32;
/// Columns whose running values one task keeps: long enough to read memory in straight runs, short enough for the
/// first cache.
const COLUMNS: usize = 1024;
/// Columns of the next row that are asked for together: it lies apart, where the processor does not look by itself.
const PREFETCHED: usize = 256;

/// Folds the axes of `x` that `mask` names.
pub fn fold<F: Fold>(pool: &Pool, x: &View, mask: &[bool], f: &F) {
    let plan = Plan::new(x, mask);
    let outputs = plan.outputs();
    if plan.reduced.iter().any(|axis| axis.dim == 0) {
        (0..outputs).for_each(|output| f.finish(output, f.start()));
    } else if outputs > 0 {
        match plan.dense_column() {
            Some(column) => columns(pool, ptr(x), plan, column, f),
            None => rows(pool, ptr(x), &plan, f),
        }
    }
}

#[derive(Clone, Copy)]
struct Axis {
    dim: usize,
    /// In the input.
    step: isize,
    /// In the output.
    out: usize,
}

struct Plan {
    kept: SmallVec<[Axis; 8]>,
    /// Largest steps first, so that neighbours in memory are neighbours here.
    reduced: SmallVec<[Axis; 8]>,
}

impl Plan {
    fn new(x: &View, mask: &[bool]) -> Plan {
        let (mut kept, mut reduced): (SmallVec<[Axis; 8]>, SmallVec<[Axis; 8]>) = Default::default();
        let mut out = 1;
        for axis in (0..mask.len()).rev() {
            let (dim, step) = (x.layout.shape[axis], x.layout.strides[axis]);
            if mask[axis] && dim != 1 {
                reduced.push(Axis { dim, step, out: 0 });
            } else if !mask[axis] && dim != 1 {
                kept.push(Axis { dim, step, out });
                out *= dim;
            }
        }
        kept.reverse();
        reduced.reverse();
        // A repeated axis has no neighbours in memory: outermost.
        reduced.sort_by_key(|axis| {
            std::cmp::Reverse(if axis.step == 0 { usize::MAX } else { axis.step.unsigned_abs() })
        });
        Plan { kept: merge(kept), reduced: merge(reduced) }
    }

    fn outputs(&self) -> usize {
        self.kept.iter().map(|axis| axis.dim).product()
    }

    /// The kept axis to fold rows along, unless the reduced elements themselves lie together.
    fn dense_column(&self) -> Option<usize> {
        let inner = self.reduced.last()?;
        let column = self.kept.iter().position(|axis| axis.step == 1)?;
        (inner.step != 1).then_some(column)
    }
}

fn merge(axes: SmallVec<[Axis; 8]>) -> SmallVec<[Axis; 8]> {
    let mut merged: SmallVec<[Axis; 8]> = SmallVec::new();
    for axis in axes {
        match merged.last_mut() {
            Some(outer)
                if outer.step == axis.step * axis.dim as isize && outer.out == axis.out * axis.dim =>
            {
                *outer = Axis { dim: outer.dim * axis.dim, ..axis };
            }
            _ => merged.push(axis),
        }
    }
    merged
}

/// Positions of number `index` of the row-major `axes`: in the input, in the output.
fn locate(axes: &[Axis], mut index: usize) -> (isize, usize) {
    let (mut at, mut out) = (0, 0);
    for axis in axes.iter().rev() {
        let i = index % axis.dim;
        index /= axis.dim;
        at += i as isize * axis.step;
        out += i * axis.out;
    }
    (at, out)
}

/// One output after the other, each along its innermost reduced axis.
fn rows<F: Fold>(pool: &Pool, x: Ptr<F::In>, plan: &Plan, f: &F) {
    let (outer, inner) = match plan.reduced.split_last() {
        Some((inner, outer)) => (outer, *inner),
        None => (&[][..], Axis { dim: 1, step: 1, out: 0 }),
    };
    let (outputs, runs) = (plan.outputs(), outer.iter().map(|axis| axis.dim).product::<usize>());
    // A segment is some runs, or a piece of one.
    let runs_each = (SEGMENT / inner.dim).max(1);
    let pieces = inner.dim.div_ceil(SEGMENT);
    let segments = runs.div_ceil(runs_each) * pieces;
    let segment = |start: isize, segment: usize, param: F::Param| {
        let (first, from) = (segment / pieces * runs_each, segment % pieces * SEGMENT);
        let length = SEGMENT.min(inner.dim - from);
        (first..(first + runs_each).min(runs)).fold(f.start(), |acc, run| {
            let at = start + locate(outer, run).0 + from as isize * inner.step;
            // SAFETY: the run lies inside the input's view; inputs are only read.
            f.join(acc, unsafe { fold_run(f, x.moved(at), length, inner.step, param) })
        })
    };
    if segments == 1 {
        let grain = (SEGMENT / (runs * inner.dim)).max(1);
        pool.run_ranges(
            outputs,
            grain,
            #[inline(always)]
            |range| {
                for index in range {
                    let (start, output) = locate(&plan.kept, index);
                    f.finish(output, segment(start, 0, f.param(output)));
                }
            },
        );
        return;
    }
    let mut partial = vec![f.start(); outputs * segments];
    let shared = Ptr::of(&mut partial);
    pool.run(
        outputs * segments,
        #[inline(always)]
        |task| {
            let (start, output) = locate(&plan.kept, task / segments);
            // SAFETY: every task has its own partial value.
            unsafe { shared.write(task as isize, segment(start, task % segments, f.param(output))) };
        },
    );
    for (index, parts) in partial.chunks_exact(segments).enumerate() {
        let acc = parts.iter().fold(f.start(), |acc, &part| f.join(acc, part));
        f.finish(locate(&plan.kept, index).1, acc);
    }
}

/// # Safety
/// The elements lie inside the storage, and nobody writes them meanwhile.
#[inline(always)]
unsafe fn fold_run<F: Fold>(f: &F, x: Ptr<F::In>, length: usize, step: isize, param: F::Param) -> F::Acc {
    let mut lanes = [f.start(); LANES];
    if step == 1 {
        // SAFETY: the caller's promise.
        let x = unsafe { x.slice(0, length) };
        // Four at a time: where memory is what takes long, less counting lets the processor look further ahead.
        let (fours, rest) = x.as_chunks::<{ 4 * LANES }>();
        for four in fours {
            for part in 0..4 {
                take(f, &mut lanes, &four[part * LANES..(part + 1) * LANES], param);
            }
        }
        let chunks = rest.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            take(f, &mut lanes, chunk, param);
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane = f.step(*lane, f.load(x), param);
        }
    } else {
        for i in 0..length {
            let lane = &mut lanes[i % LANES];
            // SAFETY: the caller's promise.
            *lane = f.step(*lane, f.load(unsafe { x.read(i as isize * step) }), param);
        }
    }
    meet(lanes, |a, b| f.join(a, b))
}

/// One element more for each running value.
#[inline(always)]
fn take<F: Fold>(f: &F, lanes: &mut [F::Acc; LANES], chunk: &[F::In], param: F::Param) {
    // In two loops, or the compiler does not vectorize conversions.
    let mut loaded = [f.load(chunk[0]); LANES];
    loaded.iter_mut().zip(chunk).for_each(|(slot, &x)| *slot = f.load(x));
    for (lane, &x) in lanes.iter_mut().zip(&loaded) {
        *lane = f.step(*lane, x, param);
    }
}

/// Rows of a dense kept axis, folded into running values for a block of its columns.
fn columns<F: Fold>(pool: &Pool, x: Ptr<F::In>, mut plan: Plan, column: usize, f: &F) {
    let dense = plan.kept.remove(column);
    let (outer, rows) = (plan.outputs(), plan.reduced.iter().map(|axis| axis.dim).product::<usize>());
    let blocks = dense.dim.div_ceil(COLUMNS);
    let rows_each = (SEGMENT / dense.dim.min(COLUMNS)).max(64);
    let segments = rows.div_ceil(rows_each);
    let outputs = outer * dense.dim;
    let mut partial = if segments > 1 { vec![f.start(); outputs * segments] } else { Vec::new() };
    let shared = Ptr::of(&mut partial);
    let task_size = dense.dim.min(COLUMNS) * rows.min(rows_each);
    pool.run_ranges(
        outer * blocks * segments,
        SEGMENT / task_size,
        #[inline(always)]
        |tasks| {
            for task in tasks {
                let (segment, block, index) =
                    (task % segments, task / segments % blocks, task / segments / blocks);
                let (start, output) = locate(&plan.kept, index);
                let first = block * COLUMNS;
                let width = COLUMNS.min(dense.dim - first);
                let position = |j: usize| output + (first + j) * dense.out;
                let mut params = [f.param(position(0)); COLUMNS];
                params[..width].iter_mut().enumerate().for_each(|(j, param)| *param = f.param(position(j)));
                let mut sums = [f.start(); COLUMNS];
                for row in segment * rows_each..((segment + 1) * rows_each).min(rows) {
                    let at = start + first as isize + locate(&plan.reduced, row).0;
                    let next = x.moved(start + first as isize + locate(&plan.reduced, row + 1).0).raw();
                    for from in (0..width).step_by(PREFETCHED) {
                        let columns = from..width.min(from + PREFETCHED);
                        let bytes = columns.len() * size_of::<F::In>();
                        let next = next.wrapping_add(from);
                        (0..bytes).step_by(LINE).for_each(|at| prefetch(next.wrapping_byte_add(at)));
                        // SAFETY: these columns of the row lie inside the input's view; inputs are only read.
                        let x = unsafe { x.moved(at).slice(from, columns.len()) };
                        let (sums, params) = (&mut sums[columns.clone()], &params[columns]);
                        for ((sum, &x), &param) in sums.iter_mut().zip(x).zip(params) {
                            *sum = f.step(*sum, f.load(x), param);
                        }
                    }
                }
                for (j, &sum) in sums[..width].iter().enumerate() {
                    if segments == 1 {
                        f.finish(position(j), sum);
                    } else {
                        // SAFETY: every segment of an output has its own partial value.
                        unsafe { shared.write((segment * outputs + position(j)) as isize, sum) };
                    }
                }
            }
        },
    );
    if segments > 1 {
        join_segments(pool, &partial, outputs, f);
    }
}

/// Joins the values of every output, of which each segment has a row, in the order of the segments.
fn join_segments<F: Fold>(pool: &Pool, partial: &[F::Acc], outputs: usize, f: &F) {
    pool.run_ranges(
        outputs,
        COLUMNS,
        #[inline(always)]
        |range| {
            let mut joined = [f.start(); COLUMNS];
            for parts in partial.chunks_exact(outputs) {
                for (acc, &part) in joined.iter_mut().zip(&parts[range.clone()]) {
                    *acc = f.join(*acc, part);
                }
            }
            range.zip(joined).for_each(|(output, acc)| f.finish(output, acc));
        },
    );
}

#[cfg(test)]
mod tests {
    use elm_core::{DType, Layout};

    use super::*;

    struct Sum(Ptr<f32>);

    impl Fold for Sum {
        type In = f32;
        type Loaded = f32;
        type Acc = f32;
        type Param = ();
        fn param(&self, _: usize) {}
        fn start(&self) -> f32 {
            0.0
        }
        fn load(&self, x: f32) -> f32 {
            x
        }
        fn step(&self, acc: f32, x: f32, (): ()) -> f32 {
            acc + x
        }
        fn join(&self, a: f32, b: f32) -> f32 {
            a + b
        }
        fn finish(&self, output: usize, acc: f32) {
            // SAFETY: the test's buffer holds every output, and each is finished once.
            unsafe { self.0.write(output as isize, acc) };
        }
    }

    #[test]
    fn sums_have_the_same_bits_at_any_number_of_threads() {
        let shape = [3, 210, 130];
        let mut x: Vec<f32> =
            (0..3 * 210 * 130).map(|i| ((i * 7919) % 10_007) as f32 / 3.0 - 1600.0).collect();
        let view =
            View { base: x.as_mut_ptr().cast(), dtype: DType::F32, layout: Layout::contiguous(&shape) };
        for mask in [[true, true, true], [false, true, true], [true, true, false], [true, false, true]] {
            let outputs: usize =
                shape.iter().zip(mask).map(|(&dim, gone)| if gone { 1 } else { dim }).product();
            let run = |threads| {
                let mut y = vec![f32::NAN; outputs];
                fold(&Pool::new(threads), &view, &mask, &Sum(Ptr::of(&mut y)));
                y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(run(1), run(4), "{mask:?}");
        }
    }
}
