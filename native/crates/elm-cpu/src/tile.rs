//! Matrix products in tiles: the split over tasks, and one tile on one thread in any float dtypes.

use std::cell::RefCell;

use gemm::Parallelism;

use crate::Pool;
use crate::element::{Element, Real};
use crate::simd::Slices;
use crate::view::Ptr;

/// Element `[i, j]` lies at `start + i·rows + j·columns`.
#[derive(Clone, Copy)]
pub struct Matrix<T> {
    pub start: Ptr<T>,
    pub rows: isize,
    pub columns: isize,
}

impl<T: Copy> Matrix<T> {
    pub fn at_row(self, row: usize) -> Matrix<T> {
        Matrix { start: self.start.moved(row as isize * self.rows), ..self }
    }
    pub fn at_column(self, column: usize) -> Matrix<T> {
        Matrix { start: self.start.moved(column as isize * self.columns), ..self }
    }
    pub fn transposed(self) -> Matrix<T> {
        Matrix { rows: self.columns, columns: self.rows, ..self }
    }
    fn cast<U>(self) -> Matrix<U> {
        Matrix { start: self.start.cast(), rows: self.rows, columns: self.columns }
    }
}

/// The two dtypes that gemm multiplies here.
pub trait Gemm: Real {}
impl Gemm for f32 {}
impl Gemm for f64 {}

/// Rows and columns of the part of a product that one task computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tiles {
    pub rows: usize,
    pub columns: usize,
}

/// Tiles above this size gain nothing from being larger.
const LARGEST: usize = 512;
/// Tasks to aim at, so that a few cores end together.
const TASKS: usize = 8;
/// Multiply-adds below which a task costs more to hand out than it saves.
const SMALLEST_WORK: usize = 256 * 1024;
/// Rows of the micro-kernel come in multiples of this, so that tiles have no ragged edge inside the matrix.
const ALIGN: usize = 16;

impl Tiles {
    /// A split of `batch` products that depends on their shape alone: an even number of equal tiles, at least
    /// [`TASKS`] where the work allows it. `k` is never split, so every sum has one owner.
    pub fn of([m, n, k]: [usize; 3], batch: usize) -> Tiles {
        let (mut down, mut across) = (m.div_ceil(LARGEST).max(1), n.div_ceil(LARGEST).max(1));
        loop {
            let tiles = Tiles { rows: even(m, down), columns: even(n, across) };
            let tasks = batch * tiles.down(m) * tiles.across(n);
            let enough = tasks >= TASKS && (tasks.is_multiple_of(2) || tasks > 4 * TASKS);
            if enough || tiles.rows * tiles.columns * k < 2 * SMALLEST_WORK {
                return tiles;
            }
            // Halving the longer side keeps tiles near square, where packing costs least.
            let (before_down, before_across) = (down, across);
            if tiles.rows >= tiles.columns && tiles.rows > 2 * ALIGN {
                down *= 2;
            } else if tiles.columns > 2 * ALIGN {
                across *= 2;
            }
            if (down, across) == (before_down, before_across) {
                return tiles;
            }
        }
    }

    pub fn down(self, m: usize) -> usize {
        m.div_ceil(self.rows)
    }
    pub fn across(self, n: usize) -> usize {
        n.div_ceil(self.columns)
    }
}

/// The size of one of `parts` nearly equal parts of `len`.
fn even(len: usize, parts: usize) -> usize {
    len.div_ceil(parts).next_multiple_of(ALIGN).clamp(1, len.max(1))
}

/// `out = left · right`, or added to `out`, for one product split over the pool.
///
/// # Safety
/// The matrices lie inside live storages of the given sizes and nobody else touches `out`.
pub unsafe fn multiply<A, B, Y>(
    pool: &Pool,
    [m, n, k]: [usize; 3],
    left: Matrix<A>,
    right: Matrix<B>,
    out: Matrix<Y>,
    add: bool,
) where
    A: Slices<Acc: Gemm>,
    B: Slices<Acc = A::Acc>,
    Y: Slices<Acc = A::Acc>,
{
    let tiles = Tiles::of([m, n, k], 1);
    pool.run(tiles.down(m) * tiles.across(n), |task| {
        // SAFETY: tasks have disjoint tiles; the rest is the caller's promise.
        unsafe { one_of(tiles, task, [m, n, k], left, right, out, add) };
    });
}

/// Tile number `task` of a product.
///
/// # Safety
/// As for [`multiply`].
pub unsafe fn one_of<A, B, Y>(
    tiles: Tiles,
    task: usize,
    [m, n, k]: [usize; 3],
    left: Matrix<A>,
    right: Matrix<B>,
    out: Matrix<Y>,
    add: bool,
) where
    A: Slices<Acc: Gemm>,
    B: Slices<Acc = A::Acc>,
    Y: Slices<Acc = A::Acc>,
{
    let across = tiles.across(n);
    let (row, column) = (task / across * tiles.rows, task % across * tiles.columns);
    let size = [tiles.rows.min(m - row), tiles.columns.min(n - column), k];
    let (left, right) = (left.at_row(row), right.at_column(column));
    // SAFETY: the tile lies inside the matrices.
    unsafe { tile(size, left, right, out.at_row(row).at_column(column), add) };
}

/// Steps of `k` that are widened at once.
const DEPTH: usize = 512;

thread_local! {
    /// Widened pieces of half-precision operands, at most a few MB.
    static SCRATCH: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// `out = left · right`, or added to `out`, on this thread. Half precision is widened piece by piece and the result
/// rounded once.
///
/// # Safety
/// As for [`multiply`].
unsafe fn tile<A, B, Y>([m, n, k]: [usize; 3], left: Matrix<A>, right: Matrix<B>, out: Matrix<Y>, add: bool)
where
    A: Slices<Acc: Gemm>,
    B: Slices<Acc = A::Acc>,
    Y: Slices<Acc = A::Acc>,
{
    let wide = |dtype| dtype == <A::Acc as Element>::DTYPE;
    if wide(A::DTYPE) && wide(B::DTYPE) && wide(Y::DTYPE) {
        // SAFETY: the casts name the types that the dtypes say; the rest is the caller's promise.
        return unsafe { gemm([m, n, k], left.cast::<A::Acc>(), right.cast(), out.cast(), add) };
    }
    let depth = DEPTH.min(k);
    let of_left = if wide(A::DTYPE) { 0 } else { m * depth };
    let of_right = if wide(B::DTYPE) { 0 } else { n * depth };
    let of_out = if wide(Y::DTYPE) { 0 } else { m * n };
    with_scratch(of_left + of_right + of_out, |scratch: &mut [A::Acc]| {
        let (for_left, rest) = scratch.split_at_mut(of_left);
        let (for_right, for_out) = rest.split_at_mut(of_right);
        let rounds = !wide(Y::DTYPE);
        let target = if rounds {
            Matrix { start: Ptr::of(for_out), rows: n as isize, columns: 1 }
        } else {
            out.cast()
        };
        debug_assert!(!(rounds && add), "a rounded product cannot be added to");
        let mut at = 0;
        // SAFETY: pieces stay inside the matrices; casts name the types that the dtypes say.
        unsafe {
            loop {
                let depth = depth.min(k - at);
                let (left, right) = (left.at_column(at), right.at_row(at));
                let left = if wide(A::DTYPE) { left.cast() } else { widened([m, depth], left, for_left) };
                let right = if wide(B::DTYPE) { right.cast() } else { widened([depth, n], right, for_right) };
                gemm([m, n, depth], left, right, target, add || at > 0);
                at += depth;
                if at >= k {
                    break;
                }
            }
            if rounds {
                for row in 0..m {
                    let line = &for_out[row * n..(row + 1) * n];
                    Y::narrow(line, out.at_row(row).start.slice_mut(0, n));
                }
            }
        }
    });
}

/// Calls `body` with `len` numbers of this thread's scratch, whose values are arbitrary.
pub fn with_scratch<R: Real>(len: usize, body: impl FnOnce(&mut [R])) {
    SCRATCH.with_borrow_mut(|scratch| {
        let words = (len * size_of::<R>()).div_ceil(size_of::<u64>());
        if scratch.len() < words {
            scratch.resize(words, 0);
        }
        // SAFETY: the buffer is as long and as aligned as that, and any bits are a number.
        body(unsafe { std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast::<R>(), len) });
    });
}

/// A copy of a matrix in its accumulator, in the order in which it lies.
///
/// # Safety
/// The matrix is readable at this size.
unsafe fn widened<T: Slices>([m, n]: [usize; 2], from: Matrix<T>, to: &mut [T::Acc]) -> Matrix<T::Acc> {
    if from.rows == 1 && from.columns != 1 {
        // SAFETY: passed on.
        return unsafe { widened([n, m], from.transposed(), to) }.transposed();
    }
    for (row, line) in to[..m * n].chunks_exact_mut(n.max(1)).enumerate() {
        let from = from.at_row(row);
        // SAFETY: the row lies inside the matrix.
        unsafe {
            if from.columns == 1 {
                T::widen(from.start.slice(0, n), line);
            } else {
                for (column, slot) in line.iter_mut().enumerate() {
                    *slot = from.start.read(column as isize * from.columns).load();
                }
            }
        }
    }
    Matrix { start: Ptr::of(to), rows: n as isize, columns: 1 }
}

/// `out = left · right`, or added to `out`, on this thread.
///
/// # Safety
/// As for [`multiply`].
pub unsafe fn gemm<R: Gemm>(
    [m, n, k]: [usize; 3],
    left: Matrix<R>,
    right: Matrix<R>,
    out: Matrix<R>,
    add: bool,
) {
    // SAFETY: passed on from the caller; unless `add`, `out` is not read and need not be initialized.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.start.raw(),
            out.columns,
            out.rows,
            add,
            left.start.raw(),
            left.columns,
            left.rows,
            right.start.raw(),
            right.columns,
            right.rows,
            if add { R::ONE } else { R::ZERO },
            R::ONE,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_shapes_split_into_an_even_number_of_equal_tiles() {
        let shapes = [
            [512, 1024, 256],
            [2048, 768, 192],
            [192, 768, 2048],
            [768, 768, 2048],
            [512, 1536, 1280],
            [2048, 2048, 2048],
            [300, 200, 500],
        ];
        for [m, n, k] in shapes {
            let tiles = Tiles::of([m, n, k], 1);
            let tasks = tiles.down(m) * tiles.across(n);
            assert!(tasks >= TASKS && tasks.is_multiple_of(2), "{m}×{n}×{k}: {tasks} tasks of {tiles:?}");
        }
    }

    #[test]
    fn tiny_products_are_not_split() {
        assert_eq!(Tiles::of([64, 64, 64], 1), Tiles { rows: 64, columns: 64 });
        assert_eq!(Tiles::of([0, 5, 3], 1), Tiles { rows: 1, columns: 5 });
    }
}
