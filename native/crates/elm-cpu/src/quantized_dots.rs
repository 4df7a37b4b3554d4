//! Products of few rows with the rows of a quantized matrix: codes become numbers in registers, so that memory gives
//! nothing but codes, scales and biases.
//!
//! As in `skinny`, the order of a sum depends on the length of the row and the width of the codes, never on how many
//! rows there are or how wide the vectors of the machine are.
#![allow(
    clippy::needless_range_loop,
    reason = "constant bounds over several arrays at once unroll into registers"
)]

use crate::element::Real;
#[cfg(target_arch = "x86_64")]
use crate::level::{Level, level};
use crate::quantized::{Quantized, UNIT};
use crate::scratch;
#[cfg(target_arch = "x86_64")]
use crate::simd::x86;
use crate::simd::{Base, Load, Slices, Vector};
use crate::skinny::{Lies, Out, RowsOf, Skinny, total};
use crate::stream_store::prefetch;

/// Rows of the matrix that are taken at once.
const ROWS: usize = 4;

/// A dtype in which products with a quantized matrix are summed.
pub trait Dots: Real + Skinny<Acc = Self> {
    /// Whether [`Dots::multiply`] wants the rows of `a` as [`arrange`] leaves them.
    fn is_arranged(bits: usize) -> bool;

    /// `out[i, j] = Σₖ a[i, k] · W[start + j, k]` for `size = [rows of a, columns of out]`, few rows of `a`.
    ///
    /// # Safety
    /// `a` has these rows of `W.dim` readable numbers, and nobody else touches `out`.
    unsafe fn multiply<S: Slices<Acc = f32>>(
        size: [usize; 2],
        a: RowsOf<Self>,
        weights: Quantized<S>,
        start: usize,
        out: Out<Self>,
    );
}

impl Dots for f64 {
    fn is_arranged(_: usize) -> bool {
        false
    }
    unsafe fn multiply<S: Slices<Acc = f32>>(
        size: [usize; 2],
        a: RowsOf<f64>,
        weights: Quantized<S>,
        start: usize,
        out: Out<f64>,
    ) {
        // SAFETY: passed on from the caller.
        unsafe { read_first(size, a, weights, start, out) }
    }
}

impl Dots for f32 {
    fn is_arranged(bits: usize) -> bool {
        bits == 4
    }
    unsafe fn multiply<S: Slices<Acc = f32>>(
        size: [usize; 2],
        a: RowsOf<f32>,
        weights: Quantized<S>,
        start: usize,
        out: Out<f32>,
    ) {
        // SAFETY: passed on from the caller.
        unsafe {
            match weights.bits {
                8 => in_registers::<Eight, S>(size, a, weights, start, out),
                4 => in_registers::<Four, S>(size, a, weights, start, out),
                _ => read_first(size, a, weights, start, out),
            }
        }
    }
}

/// For widths without a kernel of their own: a few rows as numbers in the first cache, then a product with them.
///
/// # Safety
/// As for [`Dots::multiply`].
unsafe fn read_first<R: Dots, S: Slices<Acc = f32>>(
    [rows, columns]: [usize; 2],
    a: RowsOf<R>,
    weights: Quantized<S>,
    start: usize,
    out: Out<R>,
) {
    let dim = weights.dim;
    scratch::with(ROWS * dim, |numbers: &mut [R]| {
        for column in (0..columns).step_by(ROWS) {
            let count = ROWS.min(columns - column);
            for j in 0..count {
                weights.read(start + column + j, 0, &mut numbers[j * dim..(j + 1) * dim]);
            }
            let b = RowsOf { start: numbers.as_ptr(), stride: dim as isize };
            let out = Out { start: out.start.wrapping_add(column), ..out };
            // SAFETY: the scratch holds these rows; the rest is the caller's promise.
            unsafe { <R as Skinny>::multiply(Lies::Transposed, [rows, count, dim], a, b, out) };
        }
    });
}

/// Puts each 32 numbers of a row in the order in which 4-bit codes come apart: low halves of bytes, then high halves.
pub fn arrange<R: Real>(row: &mut [R]) {
    for unit in row.as_chunks_mut::<UNIT>().0 {
        let old = *unit;
        for i in 0..UNIT / 2 {
            (unit[i], unit[i + UNIT / 2]) = (old[2 * i], old[2 * i + 1]);
        }
    }
}

/// Numbers from codes, a vector at a time.
trait Codes: Vector<Scalar = f32> {
    /// Of `LANES` bytes.
    ///
    /// # Safety
    /// The bytes are readable.
    unsafe fn eight(from: *const u8, scale: Self, bias: Self) -> Self;

    /// Of the low and of the high halves of `LANES` bytes.
    ///
    /// # Safety
    /// The bytes are readable.
    unsafe fn four(from: *const u8, scale: Self, bias: Self) -> [Self; 2];
}

impl Codes for crate::simd::Portable<f32> {
    #[inline(always)]
    unsafe fn eight(from: *const u8, scale: Self, bias: Self) -> Self {
        // SAFETY: the caller's promise.
        let codes = unsafe { from.cast::<[u8; 8]>().read() };
        Self(codes.map(f32::from)).mul_add(scale, bias)
    }
    #[inline(always)]
    unsafe fn four(from: *const u8, scale: Self, bias: Self) -> [Self; 2] {
        // SAFETY: the caller's promise.
        let bytes = unsafe { from.cast::<[u8; 8]>().read() };
        let low = Self(bytes.map(|b| f32::from(b & 15)));
        let high = Self(bytes.map(|b| f32::from(b >> 4)));
        [low.mul_add(scale, bias), high.mul_add(scale, bias)]
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::Codes;
    use crate::simd::Vector;
    use crate::simd::x86::{V8, V16};

    // SAFETY of the intrinsics below: the vectors come to life only where their features are (see `simd`), and
    // pointers are the caller's promise.
    impl Codes for V8 {
        #[inline(always)]
        unsafe fn eight(from: *const u8, scale: V8, bias: V8) -> V8 {
            // SAFETY: see above.
            unsafe {
                let codes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
                V8(_mm256_cvtepi32_ps(codes)).mul_add(scale, bias)
            }
        }
        #[inline(always)]
        unsafe fn four(from: *const u8, scale: V8, bias: V8) -> [V8; 2] {
            // SAFETY: see above.
            unsafe {
                let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
                let low = _mm256_and_si256(bytes, _mm256_set1_epi32(15));
                let high = _mm256_srli_epi32::<4>(bytes);
                [low, high].map(|codes| V8(_mm256_cvtepi32_ps(codes)).mul_add(scale, bias))
            }
        }
    }

    impl Codes for V16 {
        #[inline(always)]
        unsafe fn eight(from: *const u8, scale: V16, bias: V16) -> V16 {
            // SAFETY: see above.
            unsafe {
                let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
                V16(_mm512_cvtepi32_ps(codes)).mul_add(scale, bias)
            }
        }
        /// A register holds what all 16 codes stand for, and a permutation, which looks at the low 4 bits of its
        /// indices alone, picks from it.
        #[inline(always)]
        unsafe fn four(from: *const u8, scale: V16, bias: V16) -> [V16; 2] {
            // SAFETY: see above.
            unsafe {
                let all = _mm512_setr_ps(
                    0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
                );
                let table = V16(all).mul_add(scale, bias).0;
                let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
                let low = _mm512_permutexvar_ps(bytes, table);
                [V16(low), V16(_mm512_permutexvar_ps(_mm512_srli_epi32::<4>(bytes), table))]
            }
        }
    }
}

/// A width of codes that has kernels.
trait Width {
    /// Bytes of 32 codes.
    const BYTES: usize;
    /// # Safety
    /// `from` points at `BYTES` readable bytes.
    unsafe fn unit<V: Codes, const U: usize>(from: *const u8, scale: V, bias: V) -> [V; U];
}

struct Eight;
struct Four;

impl Width for Eight {
    const BYTES: usize = 32;
    #[inline(always)]
    unsafe fn unit<V: Codes, const U: usize>(from: *const u8, scale: V, bias: V) -> [V; U] {
        let mut numbers = [scale; U];
        for u in 0..U {
            // SAFETY: `U` vectors are 32 codes, which the caller vouches for.
            numbers[u] = unsafe { V::eight(from.add(u * V::LANES), scale, bias) };
        }
        numbers
    }
}

impl Width for Four {
    const BYTES: usize = 16;
    #[inline(always)]
    unsafe fn unit<V: Codes, const U: usize>(from: *const u8, scale: V, bias: V) -> [V; U] {
        let mut numbers = [scale; U];
        for u in 0..U / 2 {
            // SAFETY: as above; half as many bytes as codes.
            let [low, high] = unsafe { V::four(from.add(u * V::LANES), scale, bias) };
            (numbers[u], numbers[u + U / 2]) = (low, high);
        }
        numbers
    }
}

/// # Safety
/// As for [`Dots::multiply`].
unsafe fn in_registers<W: Width, S: Slices<Acc = f32>>(
    size: [usize; 2],
    a: RowsOf<f32>,
    weights: Quantized<S>,
    start: usize,
    out: Out<f32>,
) {
    // A closure does not have the features of the function around it, so the scratch is taken out here.
    scratch::with(2 * ROWS * weights.dim / weights.group, |room: &mut [f32]| {
        // SAFETY: passed on from the caller; the wide kernel runs only where its features are.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if level() == Level::Avx512 {
                return in_wide_registers::<W, S>(size, a, weights, start, out, room);
            }
            dots::<Base, W, S, { UNIT / Base::LANES }>(size, a, weights, start, out, room);
        }
    });
}

/// # Safety
/// As for [`Dots::multiply`], and the machine has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn in_wide_registers<W: Width, S: Slices<Acc = f32>>(
    size: [usize; 2],
    a: RowsOf<f32>,
    weights: Quantized<S>,
    start: usize,
    out: Out<f32>,
    room: &mut [f32],
) {
    // SAFETY: passed on from the caller.
    unsafe { dots::<x86::V16, W, S, { UNIT / x86::V16::LANES }>(size, a, weights, start, out, room) }
}

/// One row of the matrix as the kernels read it.
#[derive(Clone, Copy)]
struct Row {
    codes: *const u8,
    scales: *const f32,
    biases: *const f32,
}

/// Blocks of rows of `a` times rows of the matrix; `room` has scales and biases of [`ROWS`] rows.
///
/// # Safety
/// As for [`Dots::multiply`], and the machine has the features of `V`.
#[inline(always)]
unsafe fn dots<V: Codes, W: Width, S: Slices<Acc = f32>, const U: usize>(
    [rows, columns]: [usize; 2],
    a: RowsOf<f32>,
    weights: Quantized<S>,
    start: usize,
    out: Out<f32>,
    room: &mut [f32],
) where
    f32: Load<V>,
{
    let groups = weights.dim / weights.group;
    let shape = [weights.dim / UNIT, weights.group / UNIT];
    let mut column = 0;
    while column < columns {
        let count = ROWS.min(columns - column);
        let mut taken =
            [Row { codes: std::ptr::null(), scales: std::ptr::null(), biases: std::ptr::null() }; ROWS];
        for j in 0..count {
            let row = start + column + j;
            let (of_scales, of_biases) = room[2 * j * groups..2 * (j + 1) * groups].split_at_mut(groups);
            let [scales, biases] = weights.groups(row);
            taken[j] = Row {
                codes: weights.codes(row).as_ptr().cast(),
                scales: S::wide(scales, of_scales).as_ptr(),
                biases: S::wide(biases, of_biases).as_ptr(),
            };
        }
        let out = Out { start: out.start.wrapping_add(column), ..out };
        // SAFETY: rows and columns lie inside the matrices by the caller's promise.
        unsafe {
            if count == ROWS && V::LANES == 16 {
                columns_at_once::<V, W, ROWS, U>(rows, shape, a, taken, out);
            } else {
                for j in 0..count {
                    let out = Out { start: out.start.wrapping_add(j), ..out };
                    columns_at_once::<V, W, 1, U>(rows, shape, a, [taken[j]], out);
                }
            }
        }
        column += count;
    }
}

/// All rows of `a` times `J` rows of the matrix.
///
/// # Safety
/// As for [`dots`].
#[inline(always)]
unsafe fn columns_at_once<V: Codes, W: Width, const J: usize, const U: usize>(
    rows: usize,
    shape: [usize; 2],
    a: RowsOf<f32>,
    taken: [Row; J],
    out: Out<f32>,
) where
    f32: Load<V>,
{
    let mut row = 0;
    // SAFETY: passed on from the caller.
    unsafe {
        // As many sums as fit the registers beside the numbers.
        while row + 2 <= rows {
            block::<V, W, 2, J, U>(shape, a, row, taken, out);
            row += 2;
        }
        while row < rows {
            block::<V, W, 1, J, U>(shape, a, row, taken, out);
            row += 1;
        }
    }
}

/// `I` rows of `a` times `J` rows of the matrix with all running sums in registers.
#[inline(always)]
unsafe fn block<V: Codes, W: Width, const I: usize, const J: usize, const U: usize>(
    [units, units_of_group]: [usize; 2],
    a: RowsOf<f32>,
    row: usize,
    taken: [Row; J],
    out: Out<f32>,
) where
    f32: Load<V>,
{
    const { assert!(U * V::LANES == UNIT) };
    let shift = units_of_group.trailing_zeros();
    // The same place of the next rows; hardware does not follow so many short streams.
    let ahead = units * W::BYTES * J;
    let mut sums = [[[V::splat(0.0); U]; J]; I];
    // SAFETY: units and groups lie inside the rows, and rows and columns inside the matrices by the caller's promise.
    unsafe {
        let mut left = [std::ptr::null(); I];
        for i in 0..I {
            left[i] = a.start.wrapping_offset((row + i) as isize * a.stride);
        }
        for unit in 0..units {
            let group = unit >> shift;
            for j in 0..J {
                let scale = V::splat(*taken[j].scales.add(group));
                let bias = V::splat(*taken[j].biases.add(group));
                let codes = taken[j].codes.add(unit * W::BYTES);
                prefetch(codes.wrapping_add(ahead));
                let numbers: [V; U] = W::unit(codes, scale, bias);
                for u in 0..U {
                    for i in 0..I {
                        let x = f32::load_vector(left[i].add(unit * UNIT + u * V::LANES));
                        sums[i][j][u] = x.mul_add(numbers[u], sums[i][j][u]);
                    }
                }
            }
        }
        for i in 0..I {
            for j in 0..J {
                *out.start.wrapping_add((row + i) * out.stride + j) = total(sums[i][j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use elm_core::{DType, Layout, View, f16};

    use super::*;

    fn same_at_every_width<W: Width>(bits: usize) {
        for (rows, columns, group) in [(1, 9, 32), (3, 6, 64), (16, 5, 128)] {
            let dim = 384;
            let mut words: Vec<u32> = (0..columns * dim * bits / 32)
                .map(|i| (i as u32).wrapping_mul(0x9E37_79B1) ^ 0x1234)
                .collect();
            let half = |i: usize| f16::from_f32((i * 7919 % 2003) as f32 / 1001.5 - 1.0);
            let mut scales: Vec<f16> = (0..columns * dim / group).map(half).collect();
            let mut biases: Vec<f16> = scales.iter().rev().copied().collect();
            let x: Vec<f32> = (0..rows * dim).map(|i| (i * 104_729 % 1999) as f32 / 999.5 - 1.0).collect();
            let view = |base: *mut u8, dtype, last| View {
                base,
                dtype,
                layout: Layout::contiguous(&[columns, last]),
            };
            let views = [
                view(words.as_mut_ptr().cast(), DType::U32, dim * bits / 32),
                view(scales.as_mut_ptr().cast(), DType::F16, dim / group),
                view(biases.as_mut_ptr().cast(), DType::F16, dim / group),
            ];
            let weights = Quantized::<f16>::new([&views[0], &views[1], &views[2]], bits, group);
            let a = RowsOf { start: x.as_ptr(), stride: dim as isize };
            let (mut chosen, mut base) = (vec![f32::NAN; rows * columns], vec![f32::NAN; rows * columns]);
            let mut portable = base.clone();
            let mut room = vec![0.0; 2 * ROWS * dim / group];
            let out = |y: &mut [f32]| Out { start: y.as_mut_ptr(), stride: columns };
            // SAFETY: the buffers have these sizes; `Base` and arrays run everywhere.
            unsafe {
                in_registers::<W, f16>([rows, columns], a, weights, 0, out(&mut chosen));
                dots::<Base, W, f16, { UNIT / Base::LANES }>(
                    [rows, columns],
                    a,
                    weights,
                    0,
                    out(&mut base),
                    &mut room,
                );
                type Plain = crate::simd::Portable<f32>;
                dots::<Plain, W, f16, { UNIT / Plain::LANES }>(
                    [rows, columns],
                    a,
                    weights,
                    0,
                    out(&mut portable),
                    &mut room,
                );
            }
            let bits_of = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits_of(&chosen), bits_of(&base), "{rows} rows");
            assert_eq!(bits_of(&chosen), bits_of(&portable), "{rows} rows");
        }
    }

    /// A machine with wider vectors than another computes the same bits.
    #[test]
    fn the_width_of_vectors_does_not_show() {
        same_at_every_width::<Eight>(8);
        same_at_every_width::<Four>(4);
    }

    #[test]
    fn numbers_are_arranged_as_halves_of_bytes() {
        let mut row: Vec<f32> = (0..64).map(|i| i as f32).collect();
        arrange(&mut row);
        assert_eq!(row[..3], [0.0, 2.0, 4.0]);
        assert_eq!(row[16..18], [1.0, 3.0]);
        assert_eq!(row[47..49], [62.0, 33.0]);
    }
}
