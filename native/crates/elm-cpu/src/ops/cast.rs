use elm_core::{DType, Kernel, KernelCall, KernelError, bf16, f16};

use crate::element::{Bool, Element, Float};
use crate::map::{map_slices, map1};
use crate::simd::Slices;
use crate::view::CallExt;
use crate::with_element;

pub static KERNELS: &[Kernel] = &[Kernel::new("cast", cast).strided()];

fn cast(call: &KernelCall) -> Result<(), KernelError> {
    // A conversion of its own in most processors.
    if [call.input(0).dtype, call.output(0).dtype] == [DType::F32, DType::F16] {
        map_slices(call, f16::narrow, Convert::<f16>::convert);
        return Ok(());
    }
    with_element!(call.input(0).dtype, A => with_element!(call.output(0).dtype, B => {
        map1::<A, B>(call, Convert::<B>::convert);
    }));
    Ok(())
}

/// One rounding from any dtype to any other. Floats to integers drop the fraction and saturate, NaN gives 0;
/// integers that do not fit wrap.
trait Convert<To> {
    fn convert(self) -> To;
}

/// `as` does all of that between Rust's own types.
macro_rules! primitive {
    ($from:ty: $($to:ty),*) => {
        $( impl Convert<$to> for $from { #[inline(always)] fn convert(self) -> $to { self as $to } } )*
        impl Convert<Bool> for $from {
            #[inline(always)] fn convert(self) -> Bool { Bool::new(self != 0 as $from) }
        }
        impl Convert<$from> for Bool {
            #[inline(always)] fn convert(self) -> $from { u8::from(self.get()) as $from }
        }
    };
}
primitive!(f64: f64, f32, i64, u32);
primitive!(f32: f64, f32, i64, u32);
primitive!(i64: f64, f32, i64, i32, u32, i8, u8);
primitive!(i32: f64, f32, i64, i32, u32, i8, u8);
primitive!(u32: f64, f32, i64, i32, u32, i8, u8);
primitive!(i8: f64, f32, i64, i32, u32, i8, u8);
primitive!(u8: f64, f32, i64, i32, u32, i8, u8);

/// What `as` does, in a form that vectorizes: f64 holds every i32, so the bounds are exact.
macro_rules! saturating {
    ($($from:ty => $($to:ty),*;)*) => { $( $(
        impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                let x = if self.is_nan() { 0.0 } else { f64::from(self) };
                let x = if x < f64::from(<$to>::MIN) { f64::from(<$to>::MIN) } else { x };
                let x = if x > f64::from(<$to>::MAX) { f64::from(<$to>::MAX) } else { x };
                // SAFETY: finite and within the bounds of `$to`, which are within those of i32.
                (unsafe { x.to_int_unchecked::<i32>() }) as $to
            }
        }
    )* )* };
}
saturating!(f64 => i32, i8, u8; f32 => i32, i8, u8;);

impl Convert<Bool> for Bool {
    #[inline(always)]
    fn convert(self) -> Bool {
        Bool::new(self.get())
    }
}

/// Half precision goes through f32: exactly on the way out, and on the way in from what fits there.
macro_rules! half {
    ($($half:ty),*) => { $(
        half!(@ $half, |x: f32| -> x);
        half!(@ $half, |x: i8| -> f32::from(x));
        half!(@ $half, |x: u8| -> f32::from(x));
        half!(@ $half, |x: Bool| -> f32::from(u8::from(x.get())));
        half!(@@ $half, from_f64, f64, i32, u32);
        half!(@@ $half, from_i64, i64);
        half!(@out $half: f64, f32, i64, i32, u32, i8, u8, Bool);
        impl Convert<bf16> for $half {
            #[inline(always)] fn convert(self) -> bf16 { bf16::store(self.load()) }
        }
        impl Convert<f16> for $half {
            #[inline(always)] fn convert(self) -> f16 { f16::store(self.load()) }
        }
    )* };
    (@ $half:ty, |$x:ident: $from:ty| -> $value:expr) => {
        impl Convert<$half> for $from {
            #[inline(always)] fn convert(self) -> $half { let $x = self; <$half>::store($value) }
        }
    };
    (@@ $half:ty, $through:ident, $($from:ty),*) => { $(
        impl Convert<$half> for $from {
            #[inline(always)] fn convert(self) -> $half { <$half as Element>::$through(self.into()) }
        }
    )* };
    (@out $half:ty: $($to:ty),*) => { $(
        impl Convert<$to> for $half {
            #[inline(always)] fn convert(self) -> $to { self.load().convert() }
        }
    )* };
}
half!(bf16, f16);

#[cfg(test)]
mod tests {
    use super::*;

    fn to<A: Convert<B>, B>(value: A) -> B {
        value.convert()
    }

    #[test]
    fn wide_integers_keep_all_their_bits() {
        let long = (1i64 << 53) + 1;
        assert_eq!(to::<i64, i64>(long), long);
        assert_eq!(to::<i64, i32>(long), 1);
        assert_eq!(to::<i64, u32>(-1), u32::MAX);
        assert_eq!(to::<u32, i64>(u32::MAX), i64::from(u32::MAX));
        assert_eq!(to::<i64, u8>(0x1_2345_6789), 0x89);
        assert_eq!(to::<i64, Bool>(i64::MIN), Bool(1));
        assert_eq!(to::<f64, i64>(9_007_199_254_740_994.0), 9_007_199_254_740_994);
        assert_eq!([to::<f64, i64>(1e19), to::<f32, i64>(-1e19)], [i64::MAX, i64::MIN]);
    }

    /// 2⁶² + 2³⁸ is halfway between two numbers of f32; by way of f64 the last bit would be lost.
    #[test]
    fn integers_round_once() {
        let tie = (1i64 << 62) + (1 << 38);
        assert_eq!(to::<i64, f32>(tie), 2f32.powi(62));
        assert_eq!(to::<i64, f32>(tie + 1), 2f32.powi(62) + 2f32.powi(39));
        assert_eq!(to::<i64, bf16>((1 << 62) + (1 << 54) + 1).to_f64(), 2f64.powi(62) + 2f64.powi(55));
        assert_eq!(to::<u32, f16>(2049).to_f32(), 2048.0);
        assert_eq!(to::<i32, f16>(-70_000).to_f32(), f32::NEG_INFINITY);
    }

    #[test]
    fn floats_saturate_and_nan_is_zero() {
        assert_eq!([to::<f32, i8>(300.0), to::<f32, i8>(-300.0), to::<f32, i8>(f32::NAN)], [127, -128, 0]);
        assert_eq!([to::<bf16, u8>(bf16::from_f32(-3.5)), to::<bf16, u8>(bf16::from_f32(3.5))], [0, 3]);
        assert_eq!([to::<f16, Bool>(f16::NAN), to::<f16, Bool>(f16::NEG_ZERO)], [Bool(1), Bool(0)]);
    }
}
