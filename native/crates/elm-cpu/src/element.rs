//! What one element can do, so that a kernel is written once for all its dtypes.

use elm_core::{DType, bf16, f16};

use crate::simd::{Base, Portable, Vector};

/// A type that tensors hold.
pub trait Element: Copy + Send + Sync + PartialOrd + 'static {
    const DTYPE: DType;
    /// Integers keep all their bits through i64; floats go through f64.
    fn to_f64(self) -> f64;
    fn from_f64(value: f64) -> Self;
    fn to_i64(self) -> i64;
    fn from_i64(value: i64) -> Self;
}

macro_rules! element {
    ($($t:ty => $dtype:ident),*) => { $(
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn from_f64(value: f64) -> Self { value as $t }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)] fn from_i64(value: i64) -> Self { value as $t }
        }
    )* };
}
element!(f64 => F64, f32 => F32, i64 => I64, i32 => I32, u32 => U32, i8 => I8, u8 => U8);

macro_rules! half_element {
    ($($t:ty => $dtype:ident),*) => { $(
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            #[inline(always)] fn to_f64(self) -> f64 { f64::from(self.to_f32()) }
            /// Through f32 rounded to odd, so that the second rounding sees what the first dropped.
            #[inline(always)] fn from_f64(value: f64) -> Self { <$t as Float>::store(odd_f32(value)) }
            #[inline(always)] fn to_i64(self) -> i64 { self.to_f32() as i64 }
            #[inline(always)] fn from_i64(value: i64) -> Self { <$t as Element>::from_f64(odd_f64(value)) }
        }
    )* };
}
half_element!(bf16 => BF16, f16 => F16);

/// `value` as an f32, to the odd neighbour where it lies between two: no later rounding is led astray.
#[inline(always)]
pub fn odd_f32(value: f64) -> f32 {
    let nearest = value as f32;
    let back = f64::from(nearest);
    let below = nearest.to_bits() - u32::from(back.abs() > value.abs());
    f32::from_bits(if back == value { nearest.to_bits() } else { below | 1 })
}

/// The same for an i64 as an f64: what lies below the 52 leading bits is gathered in the last of them.
#[inline(always)]
fn odd_f64(value: i64) -> f64 {
    let kept = value & !0x7FF;
    let odd = if kept == value { kept } else { kept | 0x800 };
    (if value.unsigned_abs() < 1 << 53 { value } else { odd }) as f64
}

/// What comparisons see of an element: half precision as f32, `bool` as 0 or 1.
pub trait Ordered: Element {
    type Key: PartialOrd + Copy + Send + Sync;
    const LEAST: Self::Key;
    const GREATEST: Self::Key;
    fn key(self) -> Self::Key;
    fn of(key: Self::Key) -> Self;
}

macro_rules! ordered {
    ($($t:ty: $key:ty, $least:expr, $greatest:expr, $to:expr, $of:expr;)*) => { $(
        impl Ordered for $t {
            type Key = $key;
            const LEAST: $key = $least;
            const GREATEST: $key = $greatest;
            #[inline(always)] fn key(self) -> $key { let to: fn($t) -> $key = $to; to(self) }
            #[inline(always)] fn of(key: $key) -> $t { let of: fn($key) -> $t = $of; of(key) }
        }
    )* };
}
ordered! {
    f64: f64, f64::NEG_INFINITY, f64::INFINITY, |x| x, |k| k;
    f32: f32, f32::NEG_INFINITY, f32::INFINITY, |x| x, |k| k;
    bf16: f32, f32::NEG_INFINITY, f32::INFINITY, Float::load, Float::store;
    f16: f32, f32::NEG_INFINITY, f32::INFINITY, Float::load, Float::store;
    i64: i64, i64::MIN, i64::MAX, |x| x, |k| k;
    i32: i32, i32::MIN, i32::MAX, |x| x, |k| k;
    u32: u32, u32::MIN, u32::MAX, |x| x, |k| k;
    i8: i8, i8::MIN, i8::MAX, |x| x, |k| k;
    u8: u8, u8::MIN, u8::MAX, |x| x, |k| k;
    Bool: u8, 0, 1, |x| u8::from(x.get()), Bool;
}

/// Whether a key is the NaN of its type. (Clearer forms do not exist for a type that is only ordered.)
#[inline(always)]
#[allow(clippy::eq_op)]
pub fn is_nan<K: PartialOrd>(key: K) -> bool {
    key != key
}

/// One byte, 0 or 1. A type of its own, because a Rust `bool` of another value would be undefined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Bool(pub u8);

impl Bool {
    #[inline(always)]
    pub fn new(value: bool) -> Bool {
        Bool(u8::from(value))
    }
    #[inline(always)]
    pub fn get(self) -> bool {
        self.0 != 0
    }
}

impl Element for Bool {
    const DTYPE: DType = DType::Bool;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self.get()))
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Bool {
        Bool::new(value != 0.0)
    }
    #[inline(always)]
    fn to_i64(self) -> i64 {
        i64::from(self.get())
    }
    #[inline(always)]
    fn from_i64(value: i64) -> Bool {
        Bool::new(value != 0)
    }
}

/// The arithmetic that a float kernel computes in: f32, or f64 for f64.
pub trait Real:
    Element
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::iter::Sum
{
    /// Eight side by side, in what every machine has: their sums are the same at every level.
    type Eight: Vector<Scalar = Self>;
    const ZERO: Self;
    const ONE: Self;
    const INFINITY: Self;
    fn real(value: f64) -> Self;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    /// `eˣ` for `x ≤ 40`, in fewer steps.
    fn exp_below(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn mul_add(self, a: Self, b: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn is_finite(self) -> bool;
}

macro_rules! real {
    ($($t:ident in $Eight:ty: $exp:path, $below:path, $ln:path, $tanh:path;)*) => { $(
        impl Real for $t {
            type Eight = $Eight;
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const INFINITY: $t = $t::INFINITY;
            #[inline(always)] fn real(value: f64) -> $t { value as $t }
            #[inline(always)] fn sqrt(self) -> $t { $t::sqrt(self) }
            #[inline(always)] fn exp(self) -> $t { $exp(self) }
            #[inline(always)] fn exp_below(self) -> $t { $below(self) }
            #[inline(always)] fn ln(self) -> $t { $ln(self) }
            #[inline(always)] fn tanh(self) -> $t { $tanh(self) }
            #[inline(always)] fn mul_add(self, a: $t, b: $t) -> $t { $t::mul_add(self, a, b) }
            #[inline(always)] fn max(self, other: $t) -> $t { $t::max(self, other) }
            #[inline(always)] fn abs(self) -> $t { $t::abs(self) }
            #[inline(always)] fn is_finite(self) -> bool { $t::is_finite(self) }
        }
    )* };
}
real! {
    f32 in Base: crate::math::exp, crate::math::exp_below, crate::math::ln, crate::math::tanh;
    f64 in Portable<f64>: f64::exp, f64::exp, f64::ln, f64::tanh;
}

/// A float dtype: stored as itself, computed in [`Real`].
pub trait Float: Element {
    type Acc: Real;
    fn load(self) -> Self::Acc;
    fn store(value: Self::Acc) -> Self;
}

impl Float for f64 {
    type Acc = f64;
    #[inline(always)]
    fn load(self) -> f64 {
        self
    }
    #[inline(always)]
    fn store(value: f64) -> f64 {
        value
    }
}
impl Float for f32 {
    type Acc = f32;
    #[inline(always)]
    fn load(self) -> f32 {
        self
    }
    #[inline(always)]
    fn store(value: f32) -> f32 {
        value
    }
}
impl Float for bf16 {
    type Acc = f32;
    /// A bf16 is the upper half of an f32.
    #[inline(always)]
    fn load(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    /// Round to nearest even by adding half of the dropped part; NaN keeps its sign and stays quiet. Without
    /// branches, so that loops over it vectorize.
    #[inline(always)]
    fn store(value: f32) -> bf16 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
        let nan = bits | 0x0040_0000;
        bf16::from_bits(((if value.is_nan() { nan } else { rounded }) >> 16) as u16)
    }
}
impl Float for f16 {
    type Acc = f32;
    /// The bits in their places, times 2¹¹² because the exponents count from 127 instead of 15; subnormals come
    /// right by themselves. Infinity and NaN need the exponent of f32. Without branches, so that loops vectorize.
    #[inline(always)]
    fn load(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7FFF) << 13;
        let scaled = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
        let value = if magnitude >= 0x0F80_0000 { magnitude | 0x7F80_0000 } else { scaled };
        f32::from_bits(value | (bits & 0x8000) << 16)
    }
    /// Round to nearest even as for bf16. Below the normal numbers, adding ½, whose last place is the step of the
    /// subnormals, does the rounding.
    #[inline(always)]
    fn store(value: f32) -> f16 {
        let bits = value.to_bits();
        let magnitude = bits & 0x7FFF_FFFF;
        let normal = magnitude.wrapping_add(0xFFF + ((magnitude >> 13) & 1)).wrapping_sub(112 << 23) >> 13;
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
        let bounded = if magnitude >= 0x477F_F000 { 0x7C00 } else { finite };
        let rounded = if magnitude > 0x7F80_0000 { 0x7E00 } else { bounded };
        f16::from_bits((rounded | (bits >> 16 & 0x8000)) as u16)
    }
}

/// Runs `$body` with `$T` bound to the type of a float dtype.
#[macro_export]
macro_rules! with_float {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            elm_core::DType::F64 => {
                type $T = f64;
                $body
            }
            elm_core::DType::F32 => {
                type $T = f32;
                $body
            }
            elm_core::DType::BF16 => {
                type $T = elm_core::bf16;
                $body
            }
            elm_core::DType::F16 => {
                type $T = elm_core::f16;
                $body
            }
            other => unreachable!("signatures admit no {other} here"),
        }
    };
}

/// Runs `$body` with `$T` bound to the type of any dtype.
#[macro_export]
macro_rules! with_element {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            elm_core::DType::F64 => {
                type $T = f64;
                $body
            }
            elm_core::DType::F32 => {
                type $T = f32;
                $body
            }
            elm_core::DType::BF16 => {
                type $T = elm_core::bf16;
                $body
            }
            elm_core::DType::F16 => {
                type $T = elm_core::f16;
                $body
            }
            elm_core::DType::I64 => {
                type $T = i64;
                $body
            }
            elm_core::DType::I32 => {
                type $T = i32;
                $body
            }
            elm_core::DType::U32 => {
                type $T = u32;
                $body
            }
            elm_core::DType::I8 => {
                type $T = i8;
                $body
            }
            elm_core::DType::U8 => {
                type $T = u8;
                $body
            }
            elm_core::DType::Bool => {
                type $T = $crate::element::Bool;
                $body
            }
        }
    };
}

/// Runs `$body` with `$T` bound to the type of an integer dtype.
#[macro_export]
macro_rules! with_int {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            elm_core::DType::I64 => {
                type $T = i64;
                $body
            }
            elm_core::DType::I32 => {
                type $T = i32;
                $body
            }
            elm_core::DType::U32 => {
                type $T = u32;
                $body
            }
            elm_core::DType::I8 => {
                type $T = i8;
                $body
            }
            elm_core::DType::U8 => {
                type $T = u8;
                $body
            }
            other => unreachable!("signatures admit no {other} here"),
        }
    };
}

/// Runs `$body` with `$T` bound to an unsigned integer of the dtype's width, for kernels that only move elements.
#[macro_export]
macro_rules! with_width {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_nearest_even() {
        for bits in (0..u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            let ours = <bf16 as Float>::store(value);
            let theirs = bf16::from_f32(value);
            assert!(ours.to_bits() == theirs.to_bits() || (value.is_nan() && ours.is_nan()), "{bits:#x}");
        }
    }

    #[test]
    fn f16_is_that_of_ieee_754() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (f16::from_bits(bits).load(), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{bits:#x}");
        }
        for bits in
            (0..u32::MAX).step_by(4_093).chain(0x387F_0000..0x3880_1000).chain(0x477F_E000..0x4780_1000)
        {
            let value = f32::from_bits(bits);
            let (ours, theirs) = (<f16 as Float>::store(value), f16::from_f32(value));
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{bits:#x}");
        }
    }

    /// 1 + 2⁻⁸ lies halfway between two numbers of bf16; a bit far below decides.
    #[test]
    fn half_precision_rounds_once() {
        let tie = 1.0 + 2f64.powi(-8);
        assert_eq!(<bf16 as Element>::from_f64(tie).to_f32(), 1.0);
        assert_eq!(<bf16 as Element>::from_f64(tie + 2f64.powi(-50)).to_f32(), 1.007_812_5);
        let tie = 1.0 + 2f64.powi(-11);
        assert_eq!(<f16 as Element>::from_f64(tie - 2f64.powi(-50)).to_f32(), 1.0);
        assert_eq!(<f16 as Element>::from_f64(tie + 2f64.powi(-50)).to_f32(), 1.000_976_6);
        let tie = (1i64 << 62) + (1 << 54);
        assert_eq!(<bf16 as Element>::from_i64(tie).to_f64(), 2f64.powi(62));
        assert_eq!(<bf16 as Element>::from_i64(tie + 1).to_f64(), 2f64.powi(62) + 2f64.powi(55));
        assert_eq!(<bf16 as Element>::from_i64(-tie - 1).to_f64(), -(2f64.powi(62)) - 2f64.powi(55));
        assert_eq!(<bf16 as Element>::from_f64(1e300).to_f32(), f32::INFINITY);
        assert_eq!(<f16 as Element>::from_f64(-1e300).to_f32(), f32::NEG_INFINITY);
        assert!(
            <bf16 as Element>::from_f64(f64::NAN).is_nan() && <f16 as Element>::from_f64(f64::NAN).is_nan()
        );
    }
}
