use std::cell::RefCell;
use std::mem::MaybeUninit;

use crate::level::Level;
use crate::matrix::Matrix;
use crate::micro::{self, Kernel, Number, Target, Word};
use crate::operand::{Operand, Output};
use crate::pack::{self, Part};
use crate::plan::{Blocks, Grid, packing};
#[cfg(target_arch = "x86_64")]
use crate::x86;

/// Something that runs tasks, side by side or one after the other.
pub trait Run {
    /// Calls `task(0) … task(tasks - 1)`, each once; returns when all are done.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// All tasks on the calling thread.
pub struct Serial;

impl Run for Serial {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// The type of sums, with its micro-kernels.
pub trait Accumulator: Number + Output<Sum = Self> + Operand<Sum = Self> {
    /// The micro-kernel for a level.
    fn kernel(level: Level) -> Kernel<Self, Self>;
}

impl Accumulator for f32 {
    fn kernel(level: Level) -> Kernel<f32, f32> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Bf16 => x86::AVX512_F32,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::AVX2_F32,
            _ => micro::PLAIN_F32,
        }
    }
}

impl Accumulator for f64 {
    fn kernel(level: Level) -> Kernel<f64, f64> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Bf16 => x86::AVX512_F64,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::AVX2_F64,
            _ => micro::PLAIN_F64,
        }
    }
}

/// `out = a · b`, or `out += a · b` where sums are stored as they are; `size` is `[m, n, k]`.
///
/// # Safety
/// The machine has `level`, the matrices lie inside live memory at these sizes, and nobody else touches `out`.
///
/// # Panics
/// If neither the rows nor the columns of `out` lie behind each other, or a rounded output is to be added to.
pub unsafe fn multiply<A, B, Y>(
    run: &impl Run,
    level: Level,
    size: [usize; 3],
    a: Matrix<A>,
    b: Matrix<B>,
    out: Matrix<Y>,
    add: bool,
) where
    A: Operand<Sum: Accumulator>,
    B: Operand<Sum = A::Sum>,
    Y: Output<Sum = A::Sum>,
{
    let [m, n, k] = size;
    if m == 0 || n == 0 {
        return;
    }
    if out.columns != 1 && n > 1 {
        assert!(out.rows == 1 || m == 1, "one axis of the result lies straight");
        // SAFETY: the same product, transposed.
        return unsafe {
            multiply(run, level, [n, m, k], b.transposed(), a.transposed(), out.transposed(), add)
        };
    }
    assert!(Y::IS_SUM || !add, "a rounded product cannot be added to");
    let (down, across) = (a, b.transposed());
    // SAFETY: passed on from the caller; panels are packed inside the matrices.
    unsafe {
        // Both are one type where both have the kernel.
        if let (Some(kernel), Some(_)) = (A::pair_kernel(level), B::pair_kernel(level)) {
            let product = Product { kernel, elements_per_word: 2, size, out, add };
            return product.run(run, &|p, to| pack::pairs(down, p, to), &|p, to| pack::pairs(across, p, to));
        }
        let product = Product { kernel: A::Sum::kernel(level), elements_per_word: 1, size, out, add };
        product.run(run, &|p, to| pack::widened(down, p, to), &|p, to| pack::widened(across, p, to));
    }
}

struct Product<W, Y: Output> {
    kernel: Kernel<W, Y::Sum>,
    elements_per_word: usize,
    size: [usize; 3],
    out: Matrix<Y>,
    add: bool,
}

/// Packs part of an operand.
type Pack<'a, W> = &'a (dyn Fn(&Part, *mut W) + Sync);

impl<W: Word, Y: Output<Sum: Number>> Product<W, Y> {
    /// # Safety
    /// As for [`multiply`]; the functions pack the two operands.
    unsafe fn run(&self, run: &impl Run, pack_down: Pack<W>, pack_across: Pack<W>) {
        let [m, n, k] = self.size;
        let blocks = Blocks::of(self.size, [self.kernel.rows, self.kernel.columns], self.elements_per_word);
        let words = blocks.depth.part.min(k).div_ceil(self.elements_per_word);
        // A rounded result is kept in full until the last block along `k` has been added.
        let kept =
            if !Y::IS_SUM && blocks.depth.count() > 1 { blocks.rows.part * blocks.columns.part } else { 0 };
        let lines = [blocks.rows.part.min(m), blocks.columns.part.min(n)];
        let [of_down, of_across] = [
            lines[0].next_multiple_of(self.kernel.rows) * words,
            lines[1].next_multiple_of(self.kernel.columns) * words,
        ];
        let bytes = (of_down + of_across) * size_of::<W>() + kept * size_of::<Y::Sum>();
        with_buffer(bytes, |buffer| {
            let down = Shared(buffer.cast::<W>());
            let across = Shared(down.0.wrapping_add(of_down));
            let sums = across.0.wrapping_add(of_across).cast::<Y::Sum>();
            for columns in blocks.columns.ranges() {
                for rows in blocks.rows.ranges() {
                    let depths = blocks.depth.count().max(1);
                    for index in 0..depths {
                        let depth = blocks.depth.range(index);
                        let block = Block {
                            size: [rows.len(), columns.len(), depth.len().div_ceil(self.elements_per_word)],
                            down,
                            across,
                            out: self.out.at_row(rows.start).at_column(columns.start),
                            sums: Matrix::row_major(sums, columns.len()),
                            first: index == 0 && !self.add,
                            last: index + 1 == depths,
                        };
                        self.pack(run, &block, [&rows, &columns, &depth], pack_down, pack_across);
                        // SAFETY: both operands have been packed for this block.
                        unsafe { self.multiply_block(run, &block) };
                    }
                }
            }
        });
    }

    /// Panels of both operands, side by side.
    fn pack(
        &self,
        run: &impl Run,
        block: &Block<W, Y>,
        [rows, columns, depth]: [&std::ops::Range<usize>; 3],
        pack_down: Pack<W>,
        pack_across: Pack<W>,
    ) {
        let [m, n, _] = self.size;
        let steps = block.size[2];
        let part = |lines: usize, range: &std::ops::Range<usize>, width: usize| Part {
            lines,
            first: range.start,
            width,
            panels: 0..range.len().div_ceil(width),
            depth: depth.clone(),
        };
        let down = part(m, rows, self.kernel.rows);
        let across = part(n, columns, self.kernel.columns);
        let [of_down, of_across] =
            [&down, &across].map(|part| packing(part.panels.len(), part.width * steps));
        let tasks = of_down.count();
        run.run(tasks + of_across.count(), &|task| {
            // The whole values, which may be shared, and not the addresses in them.
            let block = &*block;
            if task < tasks {
                pack_down(&Part { panels: of_down.range(task), ..down.clone() }, block.down.0);
            } else {
                pack_across(
                    &Part { panels: of_across.range(task - tasks), ..across.clone() },
                    block.across.0,
                );
            }
        });
    }

    /// # Safety
    /// The panels of the block are packed, and the block lies inside the result.
    unsafe fn multiply_block(&self, run: &impl Run, block: &Block<W, Y>) {
        let [m, n, steps] = block.size;
        let Kernel { rows, columns, run: kernel } = self.kernel;
        let grid = Grid::of(m.div_ceil(rows), n.div_ceil(columns), rows * columns * steps);
        run.run(grid.tasks(), &|task| {
            for across in grid.across.range(task % grid.across.count()) {
                for down in grid.down.range(task / grid.across.count()) {
                    let (row, column) = (down * rows, across * columns);
                    let size = [rows.min(m - row), columns.min(n - column)];
                    // SAFETY: the panels are packed; tasks have tiles of their own.
                    unsafe {
                        let (a, b) = (block.down.0.add(row * steps), block.across.0.add(column * steps));
                        block.tile(row, column, size, columns, |out| kernel(size[0], steps, a, b, out));
                    }
                }
            }
        });
    }
}

/// A block of the result and what it is made from.
struct Block<W, Y: Output> {
    size: [usize; 3],
    down: Shared<W>,
    across: Shared<W>,
    out: Matrix<Y>,
    /// Sums of a result that is rounded, until they are complete.
    sums: Matrix<Y::Sum>,
    first: bool,
    last: bool,
}

impl<W, Y: Output<Sum: Number>> Block<W, Y> {
    /// Has `kernel` compute a tile of `width` columns and puts those that exist into the block.
    ///
    /// # Safety
    /// The tile lies inside the block and belongs to the caller; `kernel` writes all rows of its target.
    #[inline(always)]
    unsafe fn tile(
        &self,
        row: usize,
        column: usize,
        [rows, columns]: [usize; 2],
        width: usize,
        kernel: impl Fn(Target<Y::Sum>),
    ) {
        let rounds_at_once = !Y::IS_SUM && self.first && self.last;
        let sums = if Y::IS_SUM { self.out.cast() } else { self.sums };
        if columns == width && !rounds_at_once {
            kernel(Target { start: sums.at(row, column), stride: sums.rows, add: !self.first });
        } else {
            let mut room = Tile([const { MaybeUninit::uninit() }; TILE]);
            let start = room.0.as_mut_ptr().cast::<Y::Sum>();
            kernel(Target { start, stride: width as isize, add: false });
            for i in 0..rows {
                // SAFETY: the kernel has written these rows; the rest is the caller's promise.
                unsafe {
                    let tile = std::slice::from_raw_parts(start.add(i * width), columns);
                    if rounds_at_once {
                        round(std::slice::from_raw_parts_mut(self.out.at(row + i, column), columns), tile);
                    } else {
                        put(sums.at(row + i, column), tile, !self.first);
                    }
                }
            }
        }
        if !Y::IS_SUM && self.last && !rounds_at_once {
            for i in row..row + rows {
                // SAFETY: as above; these sums are complete.
                unsafe {
                    let sums = std::slice::from_raw_parts(sums.at(i, column), columns);
                    round(std::slice::from_raw_parts_mut(self.out.at(i, column), columns), sums);
                }
            }
        }
    }
}

/// # Safety
/// `out` has room for the numbers, and holds numbers already where these are to be added.
#[inline(always)]
unsafe fn put<S: Number>(out: *mut S, tile: &[S], add: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        if add {
            let out = std::slice::from_raw_parts_mut(out, tile.len());
            out.iter_mut().zip(tile).for_each(|(out, &sum)| *out = out.plus(sum));
        } else {
            out.copy_from_nonoverlapping(tile.as_ptr(), tile.len());
        }
    }
}

#[inline(always)]
fn round<Y: Output>(out: &mut [Y], sums: &[Y::Sum]) {
    out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = Y::round(sum));
}

/// Words in the largest tile of a micro-kernel.
const TILE: usize = 14 * 32;

/// Sums of a tile, on cache lines of their own.
#[repr(align(64))]
struct Tile([MaybeUninit<f64>; TILE]);

/// The address of panels that tasks share.
struct Shared<W>(*mut W);
impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Shared<W> {}
// SAFETY: tasks write panels of their own, and read them only when all are written.
unsafe impl<W: Send> Send for Shared<W> {}
// SAFETY: as above.
unsafe impl<W: Send> Sync for Shared<W> {}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; 64],
}

thread_local! {
    /// Packed panels, a few MB at most, kept for the next product of this thread.
    static BUFFER: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with the address of at least `bytes` bytes of this thread.
fn with_buffer(bytes: usize, body: impl FnOnce(*mut u8)) {
    // Taken out while in use: a task of the product may multiply matrices on its own.
    let mut buffer = BUFFER.take();
    let lines = bytes.div_ceil(size_of::<Line>());
    if buffer.len() < lines {
        buffer = vec![Line { _bytes: [0; 64] }; lines];
    }
    body(buffer.as_mut_ptr().cast());
    BUFFER.set(buffer);
}
