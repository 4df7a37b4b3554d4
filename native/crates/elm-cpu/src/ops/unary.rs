//! Kernels of the ops `y[i] = f(x[i])`: a line each.

use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::element::{Bool, Float, Real};
use crate::elementary::Elementary;
use crate::int::Int;
use crate::map::{map_real, map1};
use crate::{with_float, with_int};

/// A function of floats.
macro_rules! float {
    ($name:literal, $f:expr) => {
        Kernel::new($name, |call| {
            #[inline(always)]
            fn f<R: Elementary>(x: R) -> R {
                let f: fn(R) -> R = $f;
                f(x)
            }
            with_float!(dtype(call), T => map_real::<T>(call, f));
            Ok(())
        })
        .strided()
    };
}

/// A function of floats and one of integers.
macro_rules! numeric {
    ($name:literal, $real:expr, $int:expr) => {
        Kernel::new($name, |call| {
            #[inline(always)]
            fn real<R: Elementary>(x: R) -> R {
                let f: fn(R) -> R = $real;
                f(x)
            }
            #[inline(always)]
            fn int<I: Int>(x: I) -> I {
                let f: fn(I) -> I = $int;
                f(x)
            }
            if dtype(call).is_float() {
                with_float!(dtype(call), T => map_real::<T>(call, real));
            } else {
                with_int!(dtype(call), T => map1::<T, T>(call, int::<T>));
            }
            Ok(())
        })
        .strided()
    };
}

/// A question about floats.
macro_rules! test {
    ($name:literal, $f:expr) => {
        Kernel::new($name, |call| {
            #[inline(always)]
            fn f<R: Elementary>(x: R) -> bool {
                let f: fn(R) -> bool = $f;
                f(x)
            }
            with_float!(dtype(call), T => map1::<T, Bool>(call, |x| Bool::new(f(x.load()))));
            Ok(())
        })
        .strided()
    };
}

#[rustfmt::skip]
pub static KERNELS: &[Kernel] = &[
    float!("exp", |x| x.exp()).with_cost(elementary_cost),
    float!("exp2", |x| x.exp2()).with_cost(elementary_cost),
    float!("expm1", |x| x.expm1()).with_cost(elementary_cost),
    float!("log", |x| x.ln()).with_cost(elementary_cost),
    float!("log2", |x| x.log2()).with_cost(elementary_cost),
    float!("log1p", |x| x.log1p()).with_cost(elementary_cost),
    float!("sqrt", |x| x.sqrt()),
    float!("rsqrt", |x| R::ONE / x.sqrt()),
    float!("reciprocal", |x| R::ONE / x),
    float!("sin", |x| x.sin()).with_cost(elementary_cost),
    float!("cos", |x| x.cos()).with_cost(elementary_cost),
    float!("tanh", |x| x.tanh()).with_cost(elementary_cost),
    float!("sigmoid", |x| x.sigmoid()).with_cost(elementary_cost),
    float!("silu", |x| x * x.sigmoid()).with_cost(elementary_cost),
    float!("erf", |x| x.erf()).with_cost(elementary_cost),
    float!("floor", |x| x.floor()),
    float!("ceil", |x| x.ceil()),
    float!("round", |x| x.round_even()),
    float!("trunc", |x| x.trunc()),
    numeric!("neg", |x| -x, |x| x.opposite()),
    numeric!("abs", |x| x.abs(), |x| x.magnitude()),
    numeric!("square", |x| x * x, |x| x.times(x)),
    numeric!("relu", |x| if x < R::ZERO { R::ZERO } else { x }, |x| x.max(I::from_i64(0))),
    numeric!("sign", sign, |x| x.sign()),
    test!("isnan", |x| x.is_nan()),
    test!("isinf", |x| x.is_infinite()),
    test!("isfinite", |x| x.is_finite()),
];

fn dtype(call: &KernelCall) -> elm_core::DType {
    crate::view::CallExt::input(call, 0).dtype
}

/// About 4 ns an element: what the platform's functions take, and no less than the vectorized ones.
pub(super) fn elementary_cost(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> u64 {
    inputs.iter().flatten().map(|x| x.elements() as u64 * 4).max().unwrap_or(0)
}

#[inline(always)]
fn sign<R: Real>(x: R) -> R {
    // What is neither above nor below 0 is a zero or NaN, and `x · 0` is that again.
    let y = if x > R::ZERO { R::ONE } else { x * R::ZERO };
    if x < R::ZERO { -R::ONE } else { y }
}
