//! Kernels of the ops `y[i] = a[i] ? b[i]`: a line each.

use elm_core::Kernel;

use crate::element::{Bool, Ordered};
use crate::map::map2;
use crate::view::CallExt;
use crate::with_element;

macro_rules! compare {
    ($name:literal, $f:expr) => {
        Kernel::new($name, |call| {
            #[inline(always)]
            fn f<T: Ordered>(a: T, b: T) -> Bool {
                let f: fn(&T::Key, &T::Key) -> bool = $f;
                Bool::new(f(&a.key(), &b.key()))
            }
            with_element!(call.input(0).dtype, T => map2::<T, T, Bool>(call, f::<T>));
            Ok(())
        })
        .strided()
    };
}

pub static KERNELS: &[Kernel] = &[
    compare!("eq", |a, b| a == b),
    compare!("ne", |a, b| a != b),
    compare!("lt", |a, b| a < b),
    compare!("le", |a, b| a <= b),
    compare!("gt", |a, b| a > b),
    compare!("ge", |a, b| a >= b),
];
