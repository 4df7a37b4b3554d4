use elm_core::{Kernel, KernelCall, KernelError, View};

use crate::nd::Walk;
use crate::view::{CallExt, ptr};
use crate::{Pool, with_width};

pub static KERNELS: &[Kernel] = &[Kernel::new("contiguous", run).strided()];

fn run(call: &KernelCall) -> Result<(), KernelError> {
    copy(call.pool(), call.input(0), call.output(0));
    Ok(())
}

/// Copies any layout into any other of the same shape and width.
pub fn copy(pool: &Pool, from: &View, to: &View) {
    let walk = Walk::new([&to.layout, &from.layout]);
    with_width!(from.dtype, T => {
        let (source, target) = (ptr::<T>(from), ptr::<T>(to));
        let [down, step] = walk.steps;
        walk.run(pool, |[at, start], len| {
            for i in 0..len as isize {
                // SAFETY: the walk stays inside both views and visits each target element once.
                unsafe { target.write(at + i * down, source.read(start + i * step)) };
            }
        });
    });
}
