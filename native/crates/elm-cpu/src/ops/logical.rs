//! Kernels of the ops on truth values and on bits: a line each.

use elm_core::{DType, Kernel, KernelCall, KernelError};

use crate::element::Bool;
use crate::int::Int;
use crate::map::{map1, map2};
use crate::view::CallExt;
use crate::with_int;

/// A function of bits; on truth values it sees 0 or 1.
macro_rules! bits {
    ($name:literal, $f:expr) => {
        Kernel::new($name, |call| {
            #[inline(always)]
            fn f<I: Int>(a: I, b: I) -> I {
                let f: fn(I, I) -> I = $f;
                f(a, b)
            }
            match call.input(0).dtype {
                DType::Bool => {
                    map2::<Bool, Bool, Bool>(call, |a, b| Bool(f(u8::from(a.get()), u8::from(b.get()))));
                }
                dtype => with_int!(dtype, T => map2::<T, T, T>(call, f::<T>)),
            }
            Ok(())
        })
        .strided()
    };
}

pub static KERNELS: &[Kernel] = &[
    bits!("logical_and", |a, b| a & b),
    bits!("logical_or", |a, b| a | b),
    bits!("logical_xor", |a, b| a ^ b),
    bits!("bitwise_and", |a, b| a & b),
    bits!("bitwise_or", |a, b| a | b),
    bits!("bitwise_xor", |a, b| a ^ b),
    Kernel::new("logical_not", not).strided(),
    Kernel::new("bitwise_not", not).strided(),
];

fn not(call: &KernelCall) -> Result<(), KernelError> {
    match call.input(0).dtype {
        DType::Bool => map1::<Bool, Bool>(call, |x| Bool::new(!x.get())),
        dtype => with_int!(dtype, T => map1::<T, T>(call, |x| !x)),
    }
    Ok(())
}
