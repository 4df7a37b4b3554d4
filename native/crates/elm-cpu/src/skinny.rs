//! Products with few rows on the left: they stream the right matrix once, at the speed of memory.
//!
//! The sum over `k` of an output element runs in an order that depends on `k` and on how the right matrix lies, never
//! on the number of rows or columns: one token at a time gives the bits of many tokens at once.
#![allow(
    clippy::needless_range_loop,
    reason = "constant bounds over several arrays at once unroll into registers"
)]

use elm_core::{bf16, f16};

use crate::element::{Float, Real};
#[cfg(target_arch = "x86_64")]
use crate::level::{Level, avx512, level};
#[cfg(target_arch = "x86_64")]
use crate::simd::x86;
use crate::simd::{Base, Load, Portable, Vector};
use crate::stream_store::{LINE, prefetch};

/// Most rows that these kernels are for.
pub const MAX_ROWS: usize = 16;
/// Running sums of one output element in [`dots`].
const LANES: usize = 32;
/// Steps of `k` that [`scaled_rows`] takes at once.
const STEPS: usize = 8;

/// Rows of numbers, `stride` elements apart.
#[derive(Clone, Copy)]
pub struct RowsOf<T> {
    pub start: *const T,
    pub stride: isize,
}

impl<T> RowsOf<T> {
    #[inline(always)]
    fn row(self, row: usize) -> *const T {
        self.start.wrapping_offset(row as isize * self.stride)
    }
}

/// Where a block of the product goes: rows `stride` apart, columns side by side.
#[derive(Clone, Copy)]
pub struct Out<S> {
    pub start: *mut S,
    pub stride: usize,
}

impl<S> Out<S> {
    #[inline(always)]
    fn at(self, row: usize, column: usize) -> *mut S {
        self.start.wrapping_add(row * self.stride + column)
    }
}

/// How the right matrix lies, which picks the kernel.
#[derive(Clone, Copy, PartialEq)]
pub enum Lies {
    /// `[N, K]` seen as `[K, N]`: the rows of the storage are columns of the matrix.
    Transposed,
    RowMajor,
}

/// A dtype that can be the right matrix.
pub trait Skinny: Float {
    /// `out = a · b` for at most [`MAX_ROWS`] rows; rows of `b` are those of its storage.
    ///
    /// # Safety
    /// The matrices are readable at these sizes, and nobody else touches `out`.
    unsafe fn multiply(
        lies: Lies,
        size: [usize; 3],
        a: RowsOf<Self::Acc>,
        b: RowsOf<Self>,
        out: Out<Self::Acc>,
    );

    /// `out += a · b` for a row-major `b`: goes on where a [`Lies::RowMajor`] product of earlier `k` ended. Blocks of
    /// `k` that are multiples of 8 give the bits of one product.
    ///
    /// # Safety
    /// As for [`Skinny::multiply`].
    unsafe fn add(size: [usize; 3], a: RowsOf<Self::Acc>, b: RowsOf<Self>, out: Out<Self::Acc>);
}

macro_rules! skinny_f32 {
    ($($T:ty),*) => { $(
        impl Skinny for $T {
            unsafe fn multiply(lies: Lies, size: [usize; 3], a: RowsOf<f32>, b: RowsOf<$T>, out: Out<f32>) {
                // SAFETY: passed on from the caller; the wide kernel runs only where its features are.
                unsafe {
                    #[cfg(target_arch = "x86_64")]
                    if level() == Level::Avx512 {
                        return avx512(#[inline(always)] || match lies {
                            Lies::Transposed => {
                                dots::<x86::V16, $T, { LANES / x86::V16::LANES }, true>(size, a, b, out);
                            }
                            Lies::RowMajor => scaled_rows::<x86::V16, $T>(size, a, b, out),
                        });
                    }
                    match lies {
                        Lies::Transposed => dots::<Base, $T, { LANES / Base::LANES }, false>(size, a, b, out),
                        Lies::RowMajor => scaled_rows::<Base, $T>(size, a, b, out),
                    }
                }
            }
            unsafe fn add(size: [usize; 3], a: RowsOf<f32>, b: RowsOf<$T>, out: Out<f32>) {
                // SAFETY: as above.
                unsafe {
                    #[cfg(target_arch = "x86_64")]
                    if level() == Level::Avx512 {
                        return avx512(#[inline(always)] || add_scaled_rows::<x86::V16, $T>(size, a, b, out));
                    }
                    add_scaled_rows::<Base, $T>(size, a, b, out);
                }
            }
        }
    )* };
}
skinny_f32!(f32, bf16, f16);

impl Skinny for f64 {
    unsafe fn multiply(lies: Lies, size: [usize; 3], a: RowsOf<f64>, b: RowsOf<f64>, out: Out<f64>) {
        // SAFETY: passed on from the caller.
        unsafe {
            match lies {
                Lies::Transposed => dots::<Portable<f64>, f64, 4, false>(size, a, b, out),
                Lies::RowMajor => scaled_rows::<Portable<f64>, f64>(size, a, b, out),
            }
        }
    }
    unsafe fn add(size: [usize; 3], a: RowsOf<f64>, b: RowsOf<f64>, out: Out<f64>) {
        // SAFETY: passed on from the caller.
        unsafe { add_scaled_rows::<Portable<f64>, f64>(size, a, b, out) }
    }
}

/// `out[i, j] = Σₖ a[i, k] · b[j, k]`, both with `k` side by side; rows of `out` lie `stride` apart.
///
/// Element `k` goes to running sum `k mod 32`, and the sums are added pairwise at the end. Tiles hold as many running
/// sums as fit the registers; where one or two rows of `a` leave the processor idle, rows of `b` come one after the
/// other, as memory has them.
///
/// # Safety
/// The matrices are readable at these sizes, nobody else touches `out`, and the
/// machine has the features of `V`.
#[inline(always)]
unsafe fn dots<V: Vector, B: Load<V>, const U: usize, const WIDE: bool>(
    size: [usize; 3],
    a: RowsOf<V::Scalar>,
    b: RowsOf<B>,
    out: Out<V::Scalar>,
) where
    V::Scalar: Load<V>,
{
    // SAFETY: passed on from the caller.
    unsafe {
        match size[0] {
            1 if size_of::<B>() == 4 => tiles::<V, B, 1, 1, U>(size, a, b, out),
            2 if WIDE && size_of::<B>() == 4 => tiles::<V, B, 2, 1, U>(size, a, b, out),
            4 if WIDE => tiles::<V, B, 4, 2, U>(size, a, b, out),
            _ if WIDE => tiles::<V, B, 2, 4, U>(size, a, b, out),
            _ => tiles::<V, B, 1, 2, U>(size, a, b, out),
        }
    }
}

/// The product in tiles of `I` rows and `J` columns, all rows of one group of columns after the other.
#[inline(always)]
unsafe fn tiles<V: Vector, B: Load<V>, const I: usize, const J: usize, const U: usize>(
    [rows, columns, k]: [usize; 3],
    a: RowsOf<V::Scalar>,
    b: RowsOf<B>,
    out: Out<V::Scalar>,
) where
    V::Scalar: Load<V>,
{
    // Hardware foresees one row after the other. Several at once are too many short streams for it: there the next
    // group is asked for as it lies, bit by bit over all tiles of this one.
    let is_dense = J > 1 && b.stride == k as isize;
    let tiles = rows / I + rows % I;
    let each = if is_dense { (J * LANES * size_of::<B>()).div_ceil(tiles).next_multiple_of(LINE) } else { 0 };
    let mut column = 0;
    // SAFETY: the blocks below stay inside the sizes that the caller vouches for.
    unsafe {
        while column + J <= columns {
            let mut ahead = Ahead { start: b.row(column + J).cast(), each };
            let mut row = 0;
            while row + I <= rows {
                block::<V, B, I, J, U>(k, a, b, [row, column], out, ahead);
                ahead.start = ahead.start.wrapping_add(k / LANES * each);
                row += I;
            }
            while row < rows {
                block::<V, B, 1, J, U>(k, a, b, [row, column], out, ahead);
                ahead.start = ahead.start.wrapping_add(k / LANES * each);
                row += 1;
            }
            column += J;
        }
        while column < columns {
            for row in 0..rows {
                let nothing = Ahead { start: std::ptr::null(), each: 0 };
                block::<V, B, 1, 1, U>(k, a, b, [row, column], out, nothing);
            }
            column += 1;
        }
    }
}

/// What is asked for while a tile is computed: `each` bytes a step, from `start` on.
#[derive(Clone, Copy)]
struct Ahead {
    start: *const u8,
    each: usize,
}

/// `I` rows times `J` columns with all running sums in registers.
#[inline(always)]
unsafe fn block<V: Vector, B: Load<V>, const I: usize, const J: usize, const U: usize>(
    k: usize,
    a: RowsOf<V::Scalar>,
    b: RowsOf<B>,
    [row, column]: [usize; 2],
    out: Out<V::Scalar>,
    ahead: Ahead,
) where
    V::Scalar: Load<V>,
{
    const { assert!(U * V::LANES == LANES) };
    let mut sums = [[[V::splat(V::Scalar::ZERO); U]; J]; I];
    let whole = k / LANES * LANES;
    // SAFETY: `at + LANES ≤ k`, and the rows and columns lie inside the matrices by the caller's promise.
    unsafe {
        let mut left = [std::ptr::null(); I];
        let mut right = [std::ptr::null(); J];
        for i in 0..I {
            left[i] = a.row(row + i);
        }
        for j in 0..J {
            right[j] = b.row(column + j);
        }
        let mut at = 0;
        if J == 1 {
            // A short loop would be half counting.
            while at + 4 * LANES <= whole {
                for part in 0..4 {
                    step(&mut sums, left, right, at + part * LANES);
                }
                at += 4 * LANES;
            }
        }
        let mut soon = ahead.start;
        while at < whole {
            let end = soon.wrapping_add(ahead.each);
            while soon < end {
                prefetch(soon);
                soon = soon.wrapping_add(LINE);
            }
            step(&mut sums, left, right, at);
            at += LANES;
        }
        if whole < k {
            // Zeros behind the end add nothing.
            let mut ends = ([[V::Scalar::ZERO; LANES]; I], [[B::from_i64(0); LANES]; J]);
            for i in 0..I {
                std::ptr::copy_nonoverlapping(left[i].add(whole), ends.0[i].as_mut_ptr(), k - whole);
                left[i] = ends.0[i].as_ptr();
            }
            for j in 0..J {
                std::ptr::copy_nonoverlapping(right[j].add(whole), ends.1[j].as_mut_ptr(), k - whole);
                right[j] = ends.1[j].as_ptr();
            }
            step(&mut sums, left, right, 0);
        }
        for i in 0..I {
            for j in 0..J {
                *out.at(row + i, column + j) = total(sums[i][j]);
            }
        }
    }
}

/// The sum of all lanes of the running sums of one element, pairwise.
#[inline(always)]
pub fn total<V: Vector, const U: usize>(mut vectors: [V; U]) -> V::Scalar {
    let mut half = U / 2;
    while half > 0 {
        for u in 0..half {
            vectors[u] = vectors[u].plus(vectors[u + half]);
        }
        half /= 2;
    }
    vectors[0].sum()
}

/// The next 32 products of each pair.
#[inline(always)]
unsafe fn step<V: Vector, B: Load<V>, const I: usize, const J: usize, const U: usize>(
    sums: &mut [[[V; U]; J]; I],
    a: [*const V::Scalar; I],
    b: [*const B; J],
    at: usize,
) where
    V::Scalar: Load<V>,
{
    for u in 0..U {
        let at = at + u * V::LANES;
        let mut right = [V::splat(V::Scalar::ZERO); J];
        // SAFETY: the caller's pointers have `at + 32` elements.
        unsafe {
            for j in 0..J {
                right[j] = B::load_vector(b[j].add(at));
            }
            for i in 0..I {
                let left = V::Scalar::load_vector(a[i].add(at));
                for j in 0..J {
                    sums[i][j][u] = left.mul_add(right[j], sums[i][j][u]);
                }
            }
        }
    }
}

/// `out[i, j] = Σₖ a[i, k] · b[k, j]` with `j` side by side in `b`; rows of `out` lie `stride` apart and
/// should stay in the first cache. Each element is summed from `k = 0` on, one fused step a time.
///
/// # Safety
/// As for [`dots`].
#[inline(always)]
unsafe fn scaled_rows<V: Vector, B: Load<V>>(
    [rows, columns, k]: [usize; 3],
    a: RowsOf<V::Scalar>,
    b: RowsOf<B>,
    out: Out<V::Scalar>,
) where
    V::Scalar: Load<V>,
{
    // SAFETY: rows and columns stay inside the sizes that the caller vouches for; the rest is passed on.
    unsafe {
        for row in 0..rows {
            std::slice::from_raw_parts_mut(out.at(row, 0), columns).fill(V::Scalar::ZERO);
        }
        add_scaled_rows::<V, B>([rows, columns, k], a, b, out);
    }
}

/// The same, added to `out`.
///
/// # Safety
/// As for [`dots`].
#[inline(always)]
unsafe fn add_scaled_rows<V: Vector, B: Load<V>>(
    [rows, columns, k]: [usize; 3],
    a: RowsOf<V::Scalar>,
    b: RowsOf<B>,
    out: Out<V::Scalar>,
) where
    V::Scalar: Load<V>,
{
    // SAFETY: rows, columns and `k` stay inside the sizes that the caller vouches for.
    unsafe {
        let mut at = 0;
        while at + STEPS <= k {
            let mut row = 0;
            while row + 2 <= rows {
                steps::<V, B, 2, STEPS>(columns, a, b, row, at, out);
                row += 2;
            }
            if row < rows {
                steps::<V, B, 1, STEPS>(columns, a, b, row, at, out);
            }
            at += STEPS;
        }
        for at in at..k {
            for row in 0..rows {
                steps::<V, B, 1, 1>(columns, a, b, row, at, out);
            }
        }
    }
}

/// Adds `S` steps of `k` to `I` rows.
#[inline(always)]
unsafe fn steps<V: Vector, B: Load<V>, const I: usize, const S: usize>(
    columns: usize,
    a: RowsOf<V::Scalar>,
    b: RowsOf<B>,
    row: usize,
    at: usize,
    out: Out<V::Scalar>,
) where
    V::Scalar: Load<V>,
{
    let zero = V::Scalar::ZERO;
    let mut left = [[zero; S]; I];
    let mut factors = [[V::splat(zero); S]; I];
    let whole = columns / V::LANES * V::LANES;
    // SAFETY: passed on from the caller.
    unsafe {
        for i in 0..I {
            for s in 0..S {
                left[i][s] = *a.row(row + i).add(at + s);
                factors[i][s] = V::splat(left[i][s]);
            }
        }
        let mut column = 0;
        while column < whole {
            let mut sums = [V::splat(zero); I];
            for i in 0..I {
                sums[i] = V::Scalar::load_vector(out.at(row + i, column));
            }
            for s in 0..S {
                let right = B::load_vector(b.row(at + s).add(column));
                for i in 0..I {
                    sums[i] = factors[i][s].mul_add(right, sums[i]);
                }
            }
            for i in 0..I {
                sums[i].store(out.at(row + i, column));
            }
            column += V::LANES;
        }
        for column in whole..columns {
            for i in 0..I {
                let slot = out.at(row + i, column);
                for s in 0..S {
                    let right = (*b.row(at + s).add(column)).load();
                    *slot = left[i][s].mul_add(right, *slot);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise<T: Float>(len: usize, seed: usize) -> Vec<T> {
        (0..len).map(|i| T::from_f64(((i * 7919 + seed * 104_729) % 2003) as f64 / 1001.5 - 1.0)).collect()
    }

    fn same_at_every_width<B: Skinny<Acc = f32> + Load<Base>>() {
        for [m, n, k] in [[1, 9, 393], [3, 70, 64], [16, 67, 5], [5, 1, 31], [2, 3, 0]] {
            let (left, right) = (noise::<f32>(m * k, 1), noise::<B>(n * k, 2));
            let a = RowsOf { start: left.as_ptr(), stride: k as isize };
            for lies in [Lies::Transposed, Lies::RowMajor] {
                let stride = if lies == Lies::Transposed { k } else { n };
                let b = RowsOf { start: right.as_ptr(), stride: stride as isize };
                let (mut chosen, mut base) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
                // SAFETY: the buffers have these sizes; `Base` runs everywhere.
                unsafe {
                    B::multiply(lies, [m, n, k], a, b, Out { start: chosen.as_mut_ptr(), stride: n });
                    let out = Out { start: base.as_mut_ptr(), stride: n };
                    match lies {
                        Lies::Transposed => {
                            dots::<Base, B, { LANES / Base::LANES }, false>([m, n, k], a, b, out);
                        }
                        Lies::RowMajor => scaled_rows::<Base, B>([m, n, k], a, b, out),
                    }
                }
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&chosen), bits(&base), "{m}×{n}×{k}");
            }
        }
    }

    /// A machine with wider vectors than another computes the same bits.
    #[test]
    fn the_width_of_vectors_does_not_show() {
        same_at_every_width::<f32>();
        same_at_every_width::<bf16>();
        same_at_every_width::<f16>();
    }
}
