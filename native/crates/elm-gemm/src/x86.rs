//! Vectors of x86-64. Every function here is reached only after a look at what the machine has.

use std::arch::x86_64::*;

use crate::micro::{Kernel, Lanes, by_size};

macro_rules! lanes {
    ($name:ident, $V:ty, $Words:ty, $Word:ty, $Sum:ty, $count:literal, $zero:ident, $plus:ident, $read:ident, $store:ident,
     |$from:ident| $load:expr, |$word:ident| $splat:expr, |$sum:ident, $a:ident, $b:ident| $fma:expr) => {
        #[derive(Clone, Copy)]
        pub struct $name($V);
        // SAFETY of the intrinsics: `Lanes` are used by micro-kernels alone, and those run where their features are;
        // pointers are the caller's promise.
        impl Lanes for $name {
            type Word = $Word;
            type Words = $Words;
            type Sum = $Sum;
            const COUNT: usize = $count;
            #[inline(always)]
            fn zero() -> Self {
                // SAFETY: see above.
                $name(unsafe { $zero() })
            }
            #[inline(always)]
            unsafe fn load($from: *const $Word) -> $Words {
                // SAFETY: see above.
                unsafe { $load }
            }
            #[inline(always)]
            fn splat($word: $Word) -> $Words {
                // SAFETY: see above.
                unsafe { $splat }
            }
            #[inline(always)]
            fn mul_add(self, $a: $Words, $b: $Words) -> Self {
                let $sum = self.0;
                // SAFETY: see above.
                $name(unsafe { $fma })
            }
            #[inline(always)]
            unsafe fn put(self, to: *mut $Sum, add: bool) {
                // SAFETY: see above.
                unsafe { $store(to, if add { $plus($read(to), self.0) } else { self.0 }) }
            }
            #[inline(always)]
            fn prefetch(address: *const $Sum) {
                // SAFETY: a prefetch touches no memory that must exist.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
            }
        }
    };
}

lanes!(
    F32x8,
    __m256,
    __m256,
    f32,
    f32,
    8,
    _mm256_setzero_ps,
    _mm256_add_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    |from| _mm256_loadu_ps(from),
    |word| _mm256_set1_ps(word),
    |sum, a, b| _mm256_fmadd_ps(a, b, sum)
);
lanes!(
    F64x4,
    __m256d,
    __m256d,
    f64,
    f64,
    4,
    _mm256_setzero_pd,
    _mm256_add_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    |from| _mm256_loadu_pd(from),
    |word| _mm256_set1_pd(word),
    |sum, a, b| _mm256_fmadd_pd(a, b, sum)
);
lanes!(
    F32x16,
    __m512,
    __m512,
    f32,
    f32,
    16,
    _mm512_setzero_ps,
    _mm512_add_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    |from| _mm512_loadu_ps(from),
    |word| _mm512_set1_ps(word),
    |sum, a, b| _mm512_fmadd_ps(a, b, sum)
);
lanes!(
    F64x8,
    __m512d,
    __m512d,
    f64,
    f64,
    8,
    _mm512_setzero_pd,
    _mm512_add_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    |from| _mm512_loadu_pd(from),
    |word| _mm512_set1_pd(word),
    |sum, a, b| _mm512_fmadd_pd(a, b, sum)
);
// Sixteen pairs: each lane adds the two products of a pair.
lanes!(
    Bf16x32,
    __m512,
    __m512i,
    u32,
    f32,
    16,
    _mm512_setzero_ps,
    _mm512_add_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    |from| _mm512_loadu_si512(from.cast()),
    |word| _mm512_set1_epi32(word.cast_signed()),
    |sum, a, b| _mm512_dpbf16_ps(
        sum,
        std::mem::transmute::<__m512i, __m512bh>(a),
        std::mem::transmute::<__m512i, __m512bh>(b)
    )
);

by_size!(#[target_feature(enable = "avx2,fma")] avx2_f32, F32x8, [1 2 3 4 5 6]);
by_size!(#[target_feature(enable = "avx2,fma")] avx2_f64, F64x4, [1 2 3 4 5 6]);
by_size!(#[target_feature(enable = "avx512f")] avx512_f32, F32x16, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
by_size!(#[target_feature(enable = "avx512f")] avx512_f64, F64x8, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
by_size!(#[target_feature(enable = "avx512f,avx512bf16")] avx512_bf16, Bf16x32, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);

/// Six rows of 16 f32: 12 sums, a line of `B` and a number of `A` fill 15 of 16 registers.
pub const AVX2_F32: Kernel<f32, f32> = Kernel { rows: 6, columns: 16, lanes: 8, run: avx2_f32 };
pub const AVX2_F64: Kernel<f64, f64> = Kernel { rows: 6, columns: 8, lanes: 4, run: avx2_f64 };
/// Fourteen rows of 32 f32: 28 sums, a line of `B` and a number of `A` fill 31 of 32 registers.
pub const AVX512_F32: Kernel<f32, f32> = Kernel { rows: 14, columns: 32, lanes: 16, run: avx512_f32 };
pub const AVX512_F64: Kernel<f64, f64> = Kernel { rows: 14, columns: 16, lanes: 8, run: avx512_f64 };
pub const AVX512_BF16: Kernel<u32, f32> = Kernel { rows: 14, columns: 32, lanes: 16, run: avx512_bf16 };

/// # Safety
/// Eight elements are readable.
#[inline(always)]
pub unsafe fn load8_f32(from: *const f32) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_ps(from) }
}

/// A bf16 is the upper half of an f32.
///
/// # Safety
/// Eight elements are readable.
#[inline(always)]
pub unsafe fn load8_bf16(from: *const half::bf16) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()))))
    }
}

/// # Safety
/// Eight elements are readable.
#[inline(always)]
pub unsafe fn load8_f16(from: *const half::f16) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
}

/// `out[i]` holds element `i` of each of the eight.
#[inline(always)]
pub unsafe fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller has AVX.
    unsafe {
        let lo = |a, b| _mm256_unpacklo_ps(a, b);
        let hi = |a, b| _mm256_unpackhi_ps(a, b);
        let pairs = [
            lo(r[0], r[1]),
            hi(r[0], r[1]),
            lo(r[2], r[3]),
            hi(r[2], r[3]),
            lo(r[4], r[5]),
            hi(r[4], r[5]),
            lo(r[6], r[7]),
            hi(r[6], r[7]),
        ];
        let first = |a, b| _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
        let second = |a, b| _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
        let fours = [
            first(pairs[0], pairs[2]),
            second(pairs[0], pairs[2]),
            first(pairs[1], pairs[3]),
            second(pairs[1], pairs[3]),
            first(pairs[4], pairs[6]),
            second(pairs[4], pairs[6]),
            first(pairs[5], pairs[7]),
            second(pairs[5], pairs[7]),
        ];
        let low = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
        let high = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
        [
            low(fours[0], fours[4]),
            low(fours[1], fours[5]),
            low(fours[2], fours[6]),
            low(fours[3], fours[7]),
            high(fours[0], fours[4]),
            high(fours[1], fours[5]),
            high(fours[2], fours[6]),
            high(fours[3], fours[7]),
        ]
    }
}

/// Pairs `(a[i], b[i])` of eight 16-bit elements each, `a` in the lower half.
///
/// # Safety
/// Eight elements of both are readable.
#[inline(always)]
pub unsafe fn zip8(a: *const u16, b: *const u16) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(a.cast()));
        let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(b.cast()));
        _mm256_castsi256_ps(_mm256_or_si256(low, _mm256_slli_epi32::<16>(high)))
    }
}
