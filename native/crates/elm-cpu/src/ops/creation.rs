use elm_core::{Kernel, KernelCall, KernelError};

use crate::nd::GRAIN;
use crate::stream_store::Stores;
use crate::view::{CallExt, Rows};
use crate::{Element, with_element};

pub static KERNELS: &[Kernel] = &[Kernel::new("full", full), Kernel::new("arange", arange)];

fn full(call: &KernelCall) -> Result<(), KernelError> {
    let value = call.attrs.f64("value");
    with_element!(call.output(0).dtype, T => {
        let value = T::from_f64(value);
        fill(call, |_, out: &mut [T]| out.fill(value));
    });
    Ok(())
}

fn arange(call: &KernelCall) -> Result<(), KernelError> {
    let (start, step) = (call.attrs.f64("start"), call.attrs.f64("step"));
    let dtype = call.output(0).dtype;
    with_element!(dtype, T => {
        if dtype.is_float() {
            fill(call, |first, out: &mut [T]| {
                out.iter_mut().enumerate().for_each(|(i, y)| *y = T::from_f64(start + (first + i) as f64 * step));
            });
        } else {
            let (start, step) = (start as i64, step as i64);
            fill(call, |first, out: &mut [T]| {
                out.iter_mut().enumerate().for_each(|(i, y)| *y = T::from_i64(start + (first + i) as i64 * step));
            });
        }
    });
    Ok(())
}

/// Calls `body(first, part)` for parts of the output, each starting at element `first`.
fn fill<T: Element>(call: &KernelCall, body: impl Fn(usize, &mut [T]) + Sync) {
    let (out, stores) = (Rows::<T>::new(call.output(0)), Stores::of(call.output(0)));
    call.pool().run_ranges(call.output(0).elements(), GRAIN, |range| {
        // SAFETY: the ranges do not overlap.
        let out = unsafe { out.part(range.start, range.len()) };
        stores.fill(out, |part, out| body(range.start + part.start, out));
    });
}
