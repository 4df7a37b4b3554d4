//! Kernels of the ops `y[i] = f(a[i], b[i])` on numbers: a line each.

use elm_core::{Attrs, Kernel, View};

use crate::element::Float;
use crate::elementary::Elementary;
use crate::int::Int;
use crate::map::map2;
use crate::view::CallExt;
use crate::{with_float, with_int};

/// A function of floats, computed in their accumulator, and one of integers.
macro_rules! numeric {
    ($name:literal, $real:expr, $int:expr) => {
        Kernel::new($name, |call| {
            #[inline(always)]
            fn real<R: Elementary>(a: R, b: R) -> R {
                let f: fn(R, R) -> R = $real;
                f(a, b)
            }
            #[inline(always)]
            fn int<I: Int>(a: I, b: I) -> I {
                let f: fn(I, I) -> I = $int;
                f(a, b)
            }
            let dtype = call.input(0).dtype;
            if dtype.is_float() {
                with_float!(dtype, T => map2::<T, T, T>(call, |a, b| T::store(real(a.load(), b.load()))));
            } else {
                with_int!(dtype, T => map2::<T, T, T>(call, int::<T>));
            }
            Ok(())
        })
        .strided()
    };
}

#[rustfmt::skip]
pub static KERNELS: &[Kernel] = &[
    numeric!("add", |a, b| a + b, |a, b| a.plus(b)),
    numeric!("sub", |a, b| a - b, |a, b| a.minus(b)),
    numeric!("mul", |a, b| a * b, |a, b| a.times(b)),
    numeric!("maximum", |a, b| if (a > b) | a.is_nan() { a } else { b }, |a, b| a.max(b)),
    numeric!("minimum", |a, b| if (a < b) | a.is_nan() { a } else { b }, |a, b| a.min(b)),
    numeric!("floor_divide", |a, b| a.floor_divide(b), |a, b| a.floor_divide(b)).with_cost(slow),
    numeric!("remainder", |a, b| a.floor_remainder(b), |a, b| a.floor_remainder(b)).with_cost(slow),
    numeric!("pow", |a, b| a.pow(b), |a, b| a.power(b)).with_cost(slow),
    Kernel::new("div", |call| {
        with_float!(call.input(0).dtype, T => map2::<T, T, T>(call, |a, b| T::store(a.load() / b.load())));
        Ok(())
    })
    .strided(),
];

/// Powers and remainders take about 8 ns an element.
fn slow(_: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    outputs.iter().flatten().map(|y| y.elements() as u64 * 8).sum()
}
