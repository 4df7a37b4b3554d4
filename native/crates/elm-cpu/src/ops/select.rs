//! Kernels of the ops that choose between elements.

use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::{Bool, Element, Ordered};
use crate::map::{map1, map3};
use crate::view::CallExt;
use crate::{with_element, with_width};

pub static KERNELS: &[Kernel] =
    &[Kernel::new("where", choose).strided(), Kernel::new("clamp", clamp).strided()];

fn choose(call: &KernelCall) -> Result<(), KernelError> {
    with_width!(call.input(1).dtype, T => {
        map3::<Bool, T, T, T>(call, |condition, a, b| if condition.get() { a } else { b });
    });
    Ok(())
}

/// A missing bound is an end of the dtype, which no element lies beyond.
fn clamp(call: &KernelCall) -> Result<(), KernelError> {
    let bound = |name| call.attrs.is_given(name).then(|| call.attrs.f64(name));
    with_element!(call.input(0).dtype, T => {
        let whole = !T::DTYPE.is_float();
        let low = bound("min").map_or(T::LEAST, |low| key::<T>(if whole { low.ceil() } else { low }));
        let high = bound("max").map_or(T::GREATEST, |high| key::<T>(if whole { high.floor() } else { high }));
        map1::<T, T>(call, |x| {
            let x = x.key();
            let x = if x < low { low } else { x };
            T::of(if x > high { high } else { x })
        });
    });
    Ok(())
}

/// A bound as the elements' keys see it; conversions to integers saturate.
fn key<T: Ordered>(bound: f64) -> T::Key {
    T::from_f64(bound).key()
}
