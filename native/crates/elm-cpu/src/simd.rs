//! Vectors of the accumulator type, loaded from any float dtype: two widths on x86-64, plain arrays elsewhere.
//!
//! Kernels over [`Vector`] are written so that the width does not show in the bits of a result.

use elm_core::{bf16, f16};

use crate::element::{Float, Real};

/// A few numbers side by side. Methods must be inlined into a function that has the vector's target features.
pub trait Vector: Copy {
    type Scalar: Real;
    const LANES: usize;
    fn splat(value: Self::Scalar) -> Self;
    /// `self · factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// The larger one; `other` where a NaN leaves it open.
    fn larger(self, other: Self) -> Self;
    /// The sum of all lanes: lane `i` and lane `i + LANES/2` are added, and so on until one is left.
    fn sum(self) -> Self::Scalar;
    /// # Safety
    /// `from` points at `LANES` readable numbers.
    unsafe fn load(from: *const Self::Scalar) -> Self;
    /// # Safety
    /// `to` points at `LANES` numbers that may be written.
    unsafe fn store(self, to: *mut Self::Scalar);
}

/// A dtype that fills a vector with widened elements.
pub trait Load<V: Vector>: Float<Acc = V::Scalar> {
    /// # Safety
    /// `from` points at `LANES` readable elements.
    unsafe fn load_vector(from: *const Self) -> V;
}

/// Numbers in an array, for any machine; the compiler picks the instructions.
#[derive(Clone, Copy)]
pub struct Portable<S>(pub(crate) [S; 8]);

impl<S: Real> Vector for Portable<S> {
    type Scalar = S;
    const LANES: usize = 8;
    #[inline(always)]
    fn splat(value: S) -> Self {
        Portable([value; 8])
    }
    #[inline(always)]
    fn mul_add(mut self, factor: Self, addend: Self) -> Self {
        for ((x, f), a) in self.0.iter_mut().zip(factor.0).zip(addend.0) {
            *x = x.mul_add(f, a);
        }
        self
    }
    #[inline(always)]
    fn plus(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x += y;
        }
        self
    }
    #[inline(always)]
    fn times(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x = *x * y;
        }
        self
    }
    #[inline(always)]
    fn larger(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x = if *x > y { *x } else { y };
        }
        self
    }
    #[inline(always)]
    unsafe fn load(from: *const S) -> Self {
        // SAFETY: the caller's promise; the array holds `LANES` numbers.
        Portable(unsafe { from.cast::<[S; 8]>().read_unaligned() })
    }
    #[inline(always)]
    fn sum(self) -> S {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut S) {
        // SAFETY: the caller's promise; the array holds `LANES` numbers.
        unsafe { to.cast::<[S; 8]>().write_unaligned(self.0) }
    }
}

impl<T: Float> Load<Portable<T::Acc>> for T {
    #[inline(always)]
    unsafe fn load_vector(from: *const T) -> Portable<T::Acc> {
        let mut out = [T::Acc::ZERO; 8];
        for (i, slot) in out.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *slot = unsafe { from.add(i).read() }.load();
        }
        Portable(out)
    }
}

/// The vector that every supported machine has.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
pub type Base = x86::V8;
#[cfg(not(all(
    target_arch = "x86_64",
    target_feature = "avx2",
    target_feature = "fma",
    target_feature = "f16c"
)))]
pub type Base = Portable<f32>;

/// Asks for the cache line at `at`, which may lie anywhere.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program sees and never faults; SSE is always there.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(target_arch = "x86_64")]
pub mod x86 {
    use std::arch::x86_64::*;

    use super::{Load, Vector, bf16, f16};

    /// Eight f32 (AVX2, FMA, F16C).
    #[derive(Clone, Copy)]
    pub struct V8(pub(crate) __m256);
    /// Sixteen f32, for code inside [`crate::level::avx512`].
    #[derive(Clone, Copy)]
    pub struct V16(pub(crate) __m512);

    // SAFETY of the intrinsics below: a `V8` or `V16` only comes to life inside functions that were entered after
    // a check for its features (or whose features the build demands), and pointers are the caller's promise.
    macro_rules! vector {
        ($V:ident, $lanes:literal, $set:ident, $fma:ident, $add:ident, $mul:ident, $max:ident, $load:ident, $store:ident, |$v:ident| $sum:expr) => {
            impl Vector for $V {
                type Scalar = f32;
                const LANES: usize = $lanes;
                #[inline(always)]
                fn splat(value: f32) -> $V {
                    // SAFETY: the features are there, see above.
                    $V(unsafe { $set(value) })
                }
                #[inline(always)]
                fn mul_add(self, factor: $V, addend: $V) -> $V {
                    // SAFETY: the features are there, see above.
                    $V(unsafe { $fma(self.0, factor.0, addend.0) })
                }
                #[inline(always)]
                fn plus(self, other: $V) -> $V {
                    // SAFETY: the features are there, see above.
                    $V(unsafe { $add(self.0, other.0) })
                }
                #[inline(always)]
                fn times(self, other: $V) -> $V {
                    // SAFETY: the features are there, see above.
                    $V(unsafe { $mul(self.0, other.0) })
                }
                #[inline(always)]
                fn larger(self, other: $V) -> $V {
                    // SAFETY: the features are there, see above.
                    $V(unsafe { $max(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> $V {
                    // SAFETY: the features are there, see above; the pointer is the caller's promise.
                    $V(unsafe { $load(from) })
                }
                #[inline(always)]
                fn sum(self) -> f32 {
                    let $v = self.0;
                    // SAFETY: the features are there, see above.
                    unsafe { $sum }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: the features are there, see above; the pointer is the caller's promise.
                    unsafe { $store(to, self.0) }
                }
            }
        };
    }
    vector!(
        V8,
        8,
        _mm256_set1_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_mul_ps,
        _mm256_max_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        |v| {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    );
    vector!(
        V16,
        16,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_mul_ps,
        _mm512_max_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        |v| {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
            V8(_mm256_add_ps(_mm512_castps512_ps256(v), high)).sum()
        }
    );

    macro_rules! load {
        ($($T:ty, $V:ident: |$from:ident| $load:expr;)*) => { $(
            impl Load<$V> for $T {
                #[inline(always)]
                unsafe fn load_vector($from: *const $T) -> $V {
                    // SAFETY: the features are there, see above; the pointer is the caller's promise.
                    $V(unsafe { $load })
                }
            }
        )* };
    }
    /// Rounds whole vectors and says how many elements that were.
    #[cfg(target_feature = "f16c")]
    #[inline(always)]
    pub fn narrow_f16(from: &[f32], to: &mut [f16]) -> usize {
        let whole = from.len().min(to.len()) / 8 * 8;
        for i in (0..whole).step_by(8) {
            // SAFETY: `i + 8` lies inside both slices; the build demands F16C.
            unsafe {
                let rounded =
                    _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(from.as_ptr().add(i)));
                _mm_storeu_si128(to.as_mut_ptr().add(i).cast(), rounded);
            }
        }
        whole
    }

    // A bf16 is the upper half of an f32.
    load! {
        f32, V8: |from| _mm256_loadu_ps(from);
        f32, V16: |from| _mm512_loadu_ps(from);
        bf16, V8: |from| {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        };
        bf16, V16: |from| {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        };
        f16, V8: |from| _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
        f16, V16: |from| _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()));
    }
}

/// Asks for the memory of a slice that is read soon, while something else is computed.
#[inline(always)]
pub fn prefetch_all<T>(soon: &[T]) {
    (0..size_of_val(soon)).step_by(64).for_each(|at| prefetch(soon.as_ptr().wrapping_byte_add(at)));
}

/// A float dtype as slices of its accumulator and back, at full speed.
pub trait Slices: Float {
    /// Whether it is its own accumulator.
    const WIDE: bool = false;
    fn widen(from: &[Self], to: &mut [Self::Acc]);
    /// The slice in its accumulator: itself, or widened into `room`.
    #[inline(always)]
    fn wide<'a>(from: &'a [Self], room: &'a mut [Self::Acc]) -> &'a [Self::Acc] {
        Self::widen(from, &mut room[..from.len()]);
        &room[..from.len()]
    }
    /// Rounds each number once.
    fn narrow(from: &[Self::Acc], to: &mut [Self]);
    /// Lets `fill` write `to` in the accumulator: in place, or in `room` and then rounded.
    #[inline(always)]
    fn write(to: &mut [Self], room: &mut [Self::Acc], fill: impl FnOnce(&mut [Self::Acc])) {
        let room = &mut room[..to.len()];
        fill(room);
        Self::narrow(room, to);
    }
    /// Each number as it comes back after [`Slices::narrow`].
    #[inline(always)]
    fn round(numbers: &mut [Self::Acc]) {
        for number in numbers {
            *number = Self::store(*number).load();
        }
    }
}

macro_rules! plain_slices {
    ($($T:ty),*) => { $(
        impl Slices for $T {
            const WIDE: bool = true;
            #[inline(always)]
            fn write(to: &mut [$T], _: &mut [$T], fill: impl FnOnce(&mut [$T])) {
                fill(to);
            }
            #[inline(always)]
            fn round(_: &mut [$T]) {}
            #[inline(always)]
            fn widen(from: &[$T], to: &mut [$T]) {
                to.copy_from_slice(from);
            }
            #[inline(always)]
            fn wide<'a>(from: &'a [$T], _: &'a mut [$T]) -> &'a [$T] {
                from
            }
            #[inline(always)]
            fn narrow(from: &[$T], to: &mut [$T]) {
                to.copy_from_slice(from);
            }
        }
    )* };
}
plain_slices!(f64, f32);

impl Slices for bf16 {
    #[inline(always)]
    fn widen(from: &[bf16], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.load();
        }
    }
    #[inline(always)]
    fn narrow(from: &[f32], to: &mut [bf16]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = bf16::store(from);
        }
    }
}

impl Slices for f16 {
    #[inline(always)]
    fn widen(from: &[f16], to: &mut [f32]) {
        assert_eq!(from.len(), to.len());
        let lanes = Base::LANES;
        let whole = from.len() / lanes * lanes;
        for i in (0..whole).step_by(lanes) {
            // SAFETY: `i + LANES` lies inside both slices.
            unsafe { <f16 as Load<Base>>::load_vector(from.as_ptr().add(i)).store(to.as_mut_ptr().add(i)) };
        }
        to[whole..].iter_mut().zip(&from[whole..]).for_each(|(to, from)| *to = from.load());
    }
    #[inline(always)]
    fn narrow(from: &[f32], to: &mut [f16]) {
        assert_eq!(from.len(), to.len());
        #[cfg(all(target_arch = "x86_64", target_feature = "f16c"))]
        let whole = x86::narrow_f16(from, to);
        #[cfg(not(all(target_arch = "x86_64", target_feature = "f16c")))]
        let whole = 0;
        to[whole..].iter_mut().zip(&from[whole..]).for_each(|(to, &from)| *to = f16::store(from));
    }
    /// By way of a block of f16, because the conversions are instructions that the compiler does not find.
    #[inline(always)]
    fn round(numbers: &mut [f32]) {
        let mut block = [f16::ZERO; 64];
        for numbers in numbers.chunks_mut(64) {
            let block = &mut block[..numbers.len()];
            f16::narrow(numbers, block);
            f16::widen(block, numbers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_round_like_elements() {
        let values: Vec<f32> = (0..37).map(|i| (i as f32 - 18.0) * 1.000_1e3_f32.powi(i % 3)).collect();
        let mut half = vec![f16::ZERO; 37];
        f16::narrow(&values, &mut half);
        assert!(half.iter().zip(&values).all(|(&h, &v)| h.to_bits() == f16::from_f32(v).to_bits()));
        let mut wide = vec![0.0; 37];
        f16::widen(&half, &mut wide);
        assert!(wide.iter().zip(&half).all(|(&w, &h)| w == h.to_f32()));
        let mut brain = vec![bf16::ZERO; 37];
        bf16::narrow(&values, &mut brain);
        bf16::widen(&brain, &mut wide);
        assert!(wide.iter().zip(&values).all(|(&w, &v)| w == bf16::from_f32(v).to_f32()));
    }
}
