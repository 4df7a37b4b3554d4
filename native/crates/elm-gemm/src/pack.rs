//! Panels: a few lines of a matrix side by side, in the order in which a micro-kernel reads them.
//!
//! A line is a row of `A` or a column of `B`; both are packed by the same code, which sees lines as rows. Word `[step,
//! line]` of a panel lies at `step · width + line`; lines that do not exist are zero.

use std::ops::Range;

use crate::matrix::Matrix;
use crate::micro::Word;
use crate::operand::Operand;

/// What is packed: panels of `width` lines from line `first` on, of the `lines` that the matrix has, along `depth`.
#[derive(Clone)]
pub struct Part {
    pub lines: usize,
    pub first: usize,
    pub width: usize,
    pub panels: Range<usize>,
    pub depth: Range<usize>,
}

impl Part {
    /// The panels, each with its first line and where it goes.
    fn panels<W>(&self, steps: usize, to: *mut W) -> impl Iterator<Item = (Panel, usize, *mut W)> {
        self.panels.clone().map(move |panel| {
            let first = self.first + panel * self.width;
            let lines = self.lines - first;
            (Panel { lines, width: self.width, steps }, first, to.wrapping_add(panel * self.width * steps))
        })
    }
}

/// Steps after which packing goes on with the next panel where lines of a step lie behind each other, so that memory
/// is read in runs of several panels.
const RUN: usize = 4;

/// Packs elements as their sums' type. `to` is where panel 0 goes.
///
/// # Safety
/// The lines are readable along the depth, and nobody else touches the panels.
pub unsafe fn widened<T: Operand>(from: Matrix<T>, part: &Part, to: *mut T::Sum) {
    let from = from.at_column(part.depth.start);
    let steps = part.depth.len();
    let run = if from.rows == 1 { RUN } else { steps.max(1) };
    for start in (0..steps).step_by(run) {
        for (panel, first, to) in part.panels(steps, to) {
            let panel = Panel { steps: run.min(steps - start), ..panel };
            let to = to.wrapping_add(start * panel.width);
            // SAFETY: the panel's lines exist; the rest is the caller's promise.
            unsafe { panel.pack_widened(from.at_row(first).at_column(start), to) };
        }
    }
}

/// Packs pairs of bf16 that follow each other along the depth; a lone last one is paired with zero.
///
/// # Safety
/// As for [`widened`].
pub unsafe fn pairs<T: Operand>(from: Matrix<T>, part: &Part, to: *mut u32) {
    let from = from.at_column(part.depth.start);
    let depth = part.depth.len();
    let steps = depth.div_ceil(2);
    let run = if from.rows == 1 { RUN } else { steps.max(1) };
    for start in (0..steps).step_by(run) {
        for (panel, first, to) in part.panels(steps, to) {
            let panel = Panel { steps: run.min(steps - start), ..panel };
            let to = to.wrapping_add(start * panel.width);
            let depth = (depth - 2 * start).min(2 * run);
            // SAFETY: as in `widened`.
            unsafe { panel.pack_pairs(from.at_row(first).at_column(2 * start), depth, to) };
        }
    }
}

/// One panel; `lines` counts those that the matrix still has, which may be more or fewer than its width.
struct Panel {
    lines: usize,
    width: usize,
    steps: usize,
}

impl Panel {
    unsafe fn pack_widened<T: Operand>(&self, from: Matrix<T>, to: *mut T::Sum) {
        let word = |line: usize, step: usize| {
            // SAFETY: asked only of elements that exist.
            unsafe { from.at(line, step).read() }.widen()
        };
        #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "f16c"))]
        if size_of::<T::Sum>() == 4 {
            let to = to.cast::<f32>();
            if from.columns == 1 {
                // SAFETY: 8 steps of a line lie behind each other.
                let done = unsafe { self.turned(to, |line, step| T::load8(from.at(line, step))) };
                return self.fill(done..self.steps, 0..self.width, word, to.cast());
            }
            if from.rows == 1 {
                // SAFETY: 8 lines of a step lie behind each other.
                let done =
                    unsafe { self.straight(to, self.steps, |line, step| T::load8(from.at(line, step))) };
                return self.fill(0..self.steps, done..self.width, word, to.cast());
            }
        }
        self.fill(0..self.steps, 0..self.width, word, to);
    }

    unsafe fn pack_pairs<T: Operand>(&self, from: Matrix<T>, depth: usize, to: *mut u32) {
        let half = |line: usize, step: usize| {
            // SAFETY: elements behind the depth are not asked for.
            if step < depth { u32::from(unsafe { from.at(line, step).read() }.bits16()) } else { 0 }
        };
        let word = |line: usize, step: usize| half(line, 2 * step) | half(line, 2 * step + 1) << 16;
        #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
        {
            let whole = depth / 2;
            if from.columns == 1 {
                let complete = Panel { steps: whole, ..*self };
                // SAFETY: 8 pairs of a line lie behind each other.
                let done = unsafe {
                    complete
                        .turned(to.cast(), |line, step| crate::x86::load8_f32(from.at(line, 2 * step).cast()))
                };
                return self.fill(done..self.steps, 0..self.width, word, to);
            }
            if from.rows == 1 {
                // SAFETY: 8 lines of a step lie behind each other.
                let done = unsafe {
                    self.straight(to.cast(), whole, |line, step| {
                        crate::x86::zip8(from.at(line, 2 * step).cast(), from.at(line, 2 * step + 1).cast())
                    })
                };
                self.fill(0..whole, done..self.width, word, to);
                return self.fill(whole..self.steps, 0..self.width, word, to);
            }
        }
        self.fill(0..self.steps, 0..self.width, word, to);
    }

    /// Word by word; lines that do not exist become zero.
    fn fill<W: Word>(
        &self,
        steps: Range<usize>,
        lines: Range<usize>,
        word: impl Fn(usize, usize) -> W,
        to: *mut W,
    ) {
        for step in steps {
            for line in lines.clone() {
                let value = if line < self.lines { word(line, step) } else { W::ZERO };
                // SAFETY: the panel is writable, says the caller of `widened` or `pairs`.
                unsafe { to.add(step * self.width + line).write(value) };
            }
        }
    }

    /// Where steps of a line lie behind each other: blocks of 8 lines and 8 steps are transposed in registers. Returns
    /// how many steps are done.
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
    unsafe fn turned(&self, to: *mut f32, load: impl Fn(usize, usize) -> std::arch::x86_64::__m256) -> usize {
        use std::arch::x86_64::_mm256_setzero_ps;
        let whole = self.steps / 8 * 8;
        // Two blocks of steps use up a cache line of each line before the next lines may push it out.
        for block in (0..whole).step_by(16) {
            for group in (0..self.width).step_by(8) {
                for step in (block..(block + 16).min(whole)).step_by(8) {
                    // SAFETY: the build demands AVX2; lines and steps exist, the panel is writable.
                    unsafe {
                        let mut rows = [_mm256_setzero_ps(); 8];
                        for (i, row) in rows.iter_mut().enumerate() {
                            if group + i < self.lines {
                                *row = load(group + i, step);
                            }
                        }
                        for (i, row) in crate::x86::transpose8(rows).into_iter().enumerate() {
                            store(row, to.add((step + i) * self.width + group), self.width - group);
                        }
                    }
                }
            }
        }
        whole
    }

    /// Where lines of a step lie behind each other: copied in runs of 8. Returns how many lines are done.
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
    unsafe fn straight(
        &self,
        to: *mut f32,
        steps: usize,
        load: impl Fn(usize, usize) -> std::arch::x86_64::__m256,
    ) -> usize {
        // A run may reach into the next panel's lines where the matrix has them.
        let whole = if self.lines >= self.width.next_multiple_of(8) {
            self.width
        } else {
            self.lines.min(self.width) / 8 * 8
        };
        for step in 0..steps {
            for group in (0..whole).step_by(8) {
                // SAFETY: these lines exist, and the panel is writable.
                unsafe { store(load(group, step), to.add(step * self.width + group), self.width - group) };
            }
        }
        whole
    }
}

/// Stores the first `room` numbers, at most eight.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
#[inline(always)]
unsafe fn store(row: std::arch::x86_64::__m256, to: *mut f32, room: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's promise.
    unsafe {
        if room >= 8 {
            return _mm256_storeu_ps(to, row);
        }
        debug_assert!(room == 6, "panels are a multiple of 8 wide, or 6 more");
        _mm_storeu_ps(to, _mm256_castps256_ps128(row));
        _mm_storel_pd(to.add(4).cast(), _mm_castps_pd(_mm256_extractf128_ps::<1>(row)));
    }
}
