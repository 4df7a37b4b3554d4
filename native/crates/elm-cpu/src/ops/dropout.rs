use elm_core::{Kernel, KernelCall, KernelError, View};

use crate::element::{Float, Real};
use crate::random::{GROUP, for_groups, threshold};
use crate::view::{CallExt, Rows, slice};
use crate::with_float;

pub static KERNELS: &[Kernel] =
    &[Kernel::new("dropout", run).with_cost(cost), Kernel::new("dropout_backward", run).with_cost(cost)];

fn cost(inputs: &[Option<View>], _: &[Option<View>], _: &elm_core::Attrs) -> u64 {
    inputs[0].as_ref().map_or(0, |x| x.elements() as u64 * 2)
}

/// Forward and backward are one function: the mask depends on the words alone.
fn run(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => masked::<T>(call));
    Ok(())
}

fn masked<T: Float>(call: &KernelCall) {
    let (x, y) = (slice::<T>(call.input(0)), Rows::<T>::new(call.output(0)));
    let p = call.attrs.f64("p");
    let (dropped, scale) = (threshold(p), T::Acc::real(1.0 / (1.0 - p)));
    for_groups(call.pool(), call.attrs, x.len(), |first, words| {
        let x = &x[first..x.len().min(first + GROUP)];
        // SAFETY: every group belongs to one task.
        let y = unsafe { y.part(first, x.len()) };
        for ((y, x), word) in y.iter_mut().zip(x).zip(words) {
            let kept = T::store(x.load() * scale);
            *y = if word >> 8 < dropped { T::from_f64(0.0) } else { kept };
        }
    });
}
