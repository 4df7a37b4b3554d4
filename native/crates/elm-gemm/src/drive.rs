use std::cell::RefCell;
use std::mem::MaybeUninit;

use crate::level::Level;
use crate::matrix::Matrix;
use crate::micro::{self, Kernel, Number, Source, Target, Word};
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
    assert!(Y::IS_SUM || !add, "a rounded product cannot be added to");
    let is_straight = out.columns == 1 || n == 1;
    assert!(is_straight || out.rows == 1 || m == 1, "one axis of the result lies straight");
    let across = b.transposed();
    let in_pairs = A::pair_kernel(level).is_some() && B::pair_kernel(level).is_some();
    let lanes = A::Sum::kernel(level).lanes;
    // The side of whole lanes is the one whose width is rounded up.
    let waste = m.next_multiple_of(lanes) - m;
    let reads_weights = m < n
        && 8 * waste <= m
        && m <= 128
        && k >= WORTH_TURNING
        && as_it_lies(across, in_pairs, k, m).is_some();
    if !is_straight || reads_weights {
        // SAFETY: the same product, transposed.
        unsafe { panels(run, level, [n, m, k], across, a, out.transposed(), add) };
    } else {
        // SAFETY: passed on from the caller.
        unsafe { panels(run, level, size, a, across, out, add) };
    }
}

/// The product of the lines of `down` and of `across`, whichever way the result lies.
///
/// # Safety
/// As for [`multiply`].
unsafe fn panels<A, B, Y>(
    run: &impl Run,
    level: Level,
    size: [usize; 3],
    down: Matrix<A>,
    across: Matrix<B>,
    out: Matrix<Y>,
    add: bool,
) where
    A: Operand<Sum: Accumulator>,
    B: Operand<Sum = A::Sum>,
    Y: Output<Sum = A::Sum>,
{
    let [m, n, k] = size;
    // SAFETY: passed on from the caller; panels are packed inside the matrices.
    unsafe {
        // Both are one type where both have the kernel.
        if let (Some(kernel), Some(_)) = (A::pair_kernel(level), B::pair_kernel(level)) {
            let lying = [as_it_lies(down, true, k, n).map(Source::cast), None];
            let product = Product { kernel, elements_per_word: 2, size, out, add, lying };
            return product.run(run, &|p, to| pack::pairs(down, p, to), &|p, to| pack::pairs(across, p, to));
        }
        let kernel = A::Sum::kernel(level);
        let across_lies = side_by_side(across, m).filter(|_| n.is_multiple_of(kernel.lanes));
        let lying = [as_it_lies(down, false, k, n).map(Source::cast), across_lies.map(Source::cast)];
        let product = Product { kernel, elements_per_word: 1, size, out, add, lying };
        product.run(run, &|p, to| pack::widened(down, p, to), &|p, to| pack::widened(across, p, to));
    }
}

/// Steps that make up for turning a tile.
const WORTH_TURNING: usize = 128;

/// Lines of `down` as a micro-kernel can read them without packing: their steps lie together, and they are read a few
/// times only, since few `lines` of the other operand meet them. Lines a page apart push each other out of the first
/// cache in between.
fn as_it_lies<T: Operand>(from: Matrix<T>, in_pairs: bool, k: usize, lines: usize) -> Option<Source<T>> {
    let is_word = if in_pairs { k.is_multiple_of(2) } else { size_of::<T>() == size_of::<T::Sum>() };
    let line_bytes = from.rows * size_of::<T>() as isize;
    let step_bytes = (if in_pairs { 2 } else { 1 } * size_of::<T>()) as isize;
    let few = if line_bytes % 4096 == 0 { 64 } else { 256 };
    (is_word && lines <= few && (from.columns == 1 || k <= 1)).then_some(Source {
        start: from.start,
        line_bytes,
        step_bytes,
    })
}

/// The same for `across`, whose lines must lie side by side. Steps far apart come from the second cache each time.
fn side_by_side<T: Operand>(from: Matrix<T>, lines: usize) -> Option<Source<T>> {
    let is_word = size_of::<T>() == size_of::<T::Sum>();
    let line_bytes = size_of::<T>() as isize;
    let step_bytes = from.columns * line_bytes;
    let few = if step_bytes.unsigned_abs() <= 1024 { 128 } else { 64 };
    (is_word && lines <= few && from.rows == 1).then_some(Source {
        start: from.start,
        line_bytes,
        step_bytes,
    })
}

struct Product<W, Y: Output> {
    kernel: Kernel<W, Y::Sum>,
    elements_per_word: usize,
    size: [usize; 3],
    out: Matrix<Y>,
    add: bool,
    /// Operands, down and across, that are read as they lie.
    lying: [Option<Source<W>>; 2],
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
        let widths = [self.kernel.rows, self.kernel.columns];
        let [of_down, of_across] = [0, 1]
            .map(|i| if self.lying[i].is_some() { 0 } else { lines[i].next_multiple_of(widths[i]) * words });
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
                            down: self.panels(0, down, [rows.start, depth.start]),
                            across: self.panels(1, across, [columns.start, depth.start]),
                            out: self.out.at_row(rows.start).at_column(columns.start),
                            sums: Matrix::row_major(sums, columns.len()),
                            first: index == 0 && !self.add,
                            last: index + 1 == depths,
                        };
                        let packed = [down, across];
                        self.pack(run, packed, [&rows, &columns, &depth], pack_down, pack_across);
                        // SAFETY: both operands have been packed for this block.
                        unsafe { self.multiply_block(run, &block) };
                    }
                }
            }
        });
    }

    /// Where the panels of operand `index` are read in a block that starts at this line and element of `k`.
    fn panels(&self, index: usize, packed: Shared<W>, [line, depth]: [usize; 2]) -> Panels<W> {
        let width = [self.kernel.rows, self.kernel.columns][index];
        match self.lying[index] {
            Some(source) => Panels::Lying(source.at(line, depth / self.elements_per_word)),
            None => Panels::Packed(packed.0, width),
        }
    }

    /// Panels of both operands, side by side.
    fn pack(
        &self,
        run: &impl Run,
        [to_down, to_across]: [Shared<W>; 2],
        [rows, columns, depth]: [&std::ops::Range<usize>; 3],
        pack_down: Pack<W>,
        pack_across: Pack<W>,
    ) {
        let [m, n, _] = self.size;
        let steps = depth.len().div_ceil(self.elements_per_word);
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
        let [down_tasks, across_tasks] = [(0, of_down), (1, of_across)]
            .map(|(index, split)| if self.lying[index].is_some() { 0 } else { split.count() });
        run.run(down_tasks + across_tasks, &|task| {
            // The whole values, which may be shared, and not the addresses in them.
            let (to_down, to_across) = (&to_down, &to_across);
            if task < down_tasks {
                pack_down(&Part { panels: of_down.range(task), ..down.clone() }, to_down.0);
            } else {
                pack_across(
                    &Part { panels: of_across.range(task - down_tasks), ..across.clone() },
                    to_across.0,
                );
            }
        });
    }

    /// # Safety
    /// The panels of the block are packed, and the block lies inside the result.
    unsafe fn multiply_block(&self, run: &impl Run, block: &Block<W, Y>) {
        let [m, n, steps] = block.size;
        let Kernel { rows, columns, lanes, run: kernel } = self.kernel;
        let grid = Grid::of(m.div_ceil(rows), n.div_ceil(columns), rows * columns * steps);
        run.run(grid.tasks(), &|task| {
            for across in grid.across.range(task % grid.across.count()) {
                for down in grid.down.range(task / grid.across.count()) {
                    let (row, column) = (down * rows, across * columns);
                    let size = [rows.min(m - row), columns.min(n - column)];
                    let (a, b) = (block.down.at(row, steps), block.across.at(column, steps));
                    let width = size[1].next_multiple_of(lanes);
                    // SAFETY: the panels are packed or lie in a matrix that has these lines; tasks have tiles of their
                    // own.
                    unsafe { block.tile(row, column, size, width, |out| kernel(size, steps, a, b, out)) };
                }
            }
        });
    }
}

/// Panels of one operand in a block.
enum Panels<W> {
    /// Behind each other, of a width.
    Packed(*mut W, usize),
    Lying(Source<W>),
}

impl<W> Panels<W> {
    /// The panel that begins with this line.
    #[inline(always)]
    fn at(&self, line: usize, steps: usize) -> Source<W> {
        match *self {
            Panels::Packed(start, width) => Source::panel(start.wrapping_add(line * steps), width),
            Panels::Lying(source) => source.at(line, 0),
        }
    }
}

// SAFETY: as for `Shared`; matrices that are read as they lie are written by nobody.
unsafe impl<W: Send> Sync for Panels<W> {}

/// A block of the result and what it is made from.
struct Block<W, Y: Output> {
    size: [usize; 3],
    down: Panels<W>,
    across: Panels<W>,
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
        let is_straight = sums.columns == 1 || columns == 1;
        if columns == width && is_straight && !rounds_at_once {
            kernel(Target { start: sums.at(row, column), stride: sums.rows, add: !self.first });
        } else {
            let mut room = Tile([const { MaybeUninit::uninit() }; TILE]);
            let start = room.0.as_mut_ptr().cast::<Y::Sum>();
            kernel(Target { start, stride: width as isize, add: false });
            // SAFETY: the kernel has written these rows; the rest is the caller's promise.
            unsafe {
                if rounds_at_once {
                    let out = self.out.at_row(row).at_column(column);
                    each_line(start, [rows, columns], width, out, |line, out| round(out, line));
                } else {
                    let out = sums.at_row(row).at_column(column);
                    each_line(start, [rows, columns], width, out, |line, out| put(out, line, !self.first));
                }
            }
        }
        if !Y::IS_SUM && self.last && !rounds_at_once {
            // SAFETY: as above; these sums are complete.
            unsafe {
                let from = sums.at(row, column);
                let out = self.out.at_row(row).at_column(column);
                each_line(from, [rows, columns], sums.rows as usize, out, |line, out| round(out, line));
            }
        }
    }
}

/// Calls `line(numbers, where they go)` along the straight axis of `out` for a tile whose rows lie `stride` apart.
///
/// # Safety
/// The tile and its place in `out` exist and belong to the caller.
#[inline(always)]
unsafe fn each_line<S: Number, Y>(
    tile: *const S,
    [rows, columns]: [usize; 2],
    stride: usize,
    out: Matrix<Y>,
    line: impl Fn(&[S], *mut Y),
) {
    // SAFETY: the caller's promise.
    unsafe {
        if out.columns == 1 || columns == 1 {
            for i in 0..rows {
                line(std::slice::from_raw_parts(tile.add(i * stride), columns), out.at(i, 0));
            }
            return;
        }
        let mut turned = Turned([S::ZERO; TILE / ROWS * TURNED_ROWS]);
        crate::turn::turn(tile, stride, [rows, columns], &mut turned.0, TURNED_ROWS);
        for (j, numbers) in turned.0.chunks_exact(TURNED_ROWS).take(columns).enumerate() {
            line(&numbers[..rows], out.at(0, j));
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

/// # Safety
/// `out` has room for the numbers.
#[inline(always)]
unsafe fn round<Y: Output>(out: *mut Y, sums: &[Y::Sum]) {
    // SAFETY: the caller's promise.
    let out = unsafe { std::slice::from_raw_parts_mut(out, sums.len()) };
    out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = Y::round(sum));
}

/// Most rows and words in a tile of a micro-kernel.
const ROWS: usize = 14;
const TILE: usize = ROWS * 32;
/// Rows of a tile in whole vectors.
const TURNED_ROWS: usize = 16;

/// The columns of a tile as rows.
#[repr(align(64))]
struct Turned<S>([S; TILE / ROWS * TURNED_ROWS]);

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
