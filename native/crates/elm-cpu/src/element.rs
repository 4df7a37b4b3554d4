//! What one element can do, so that a kernel is written once for all its dtypes.

use elm_core::{DType, bf16, f16};

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
            #[inline(always)] fn from_f64(value: f64) -> Self { <$t>::from_f64(value) }
            #[inline(always)] fn to_i64(self) -> i64 { self.to_f32() as i64 }
            #[inline(always)] fn from_i64(value: i64) -> Self { <$t>::from_f64(value as f64) }
        }
    )* };
}
half_element!(bf16 => BF16, f16 => F16);

/// One byte, 0 or 1. A type of its own, because a Rust `bool` of another value would be undefined.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    const ZERO: Self;
    const ONE: Self;
    const INFINITY: Self;
    fn real(value: f64) -> Self;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn mul_add(self, a: Self, b: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn is_finite(self) -> bool;
}

macro_rules! real {
    ($($t:ident: $exp:path, $tanh:path;)*) => { $(
        impl Real for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const INFINITY: $t = $t::INFINITY;
            #[inline(always)] fn real(value: f64) -> $t { value as $t }
            #[inline(always)] fn sqrt(self) -> $t { $t::sqrt(self) }
            #[inline(always)] fn exp(self) -> $t { $exp(self) }
            #[inline(always)] fn ln(self) -> $t { $t::ln(self) }
            #[inline(always)] fn tanh(self) -> $t { $tanh(self) }
            #[inline(always)] fn mul_add(self, a: $t, b: $t) -> $t { $t::mul_add(self, a, b) }
            #[inline(always)] fn max(self, other: $t) -> $t { $t::max(self, other) }
            #[inline(always)] fn abs(self) -> $t { $t::abs(self) }
            #[inline(always)] fn is_finite(self) -> bool { $t::is_finite(self) }
        }
    )* };
}
real! {
    f32: crate::math::exp, crate::math::tanh;
    f64: f64::exp, f64::tanh;
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
    #[inline(always)]
    fn load(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn store(value: f32) -> f16 {
        f16::from_f32(value)
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
}
