use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::{Element, Float};
use crate::lines::Lines;
use crate::view::{CallExt, ptr};
use crate::{with_element, with_float};

pub static KERNELS: &[Kernel] = &[Kernel::new("cumsum", cumsum).strided()];

fn cumsum(call: &KernelCall) -> Result<(), KernelError> {
    let dtype = call.input(0).dtype;
    if dtype.is_float() {
        with_float!(dtype, T => {
            type Acc = <T as Float>::Acc;
            run::<T, Acc, T>(call, 0.0, |sum, x| sum + x.load(), T::store);
        });
    } else {
        with_element!(dtype, T => run::<T, i64, i64>(call, 0, |sum, x| sum.wrapping_add(x.to_i64()), |sum| sum));
    }
    Ok(())
}

/// A chain of additions along every line, from its start or its end.
fn run<In: Element, Acc: Copy + Send + Sync, Out: Element>(
    call: &KernelCall,
    zero: Acc,
    add: impl Fn(Acc, In) -> Acc + Sync,
    store: impl Fn(Acc) -> Out + Sync,
) {
    let (x, y) = (call.input(0), call.output(0));
    let axis = call.attrs.axis("axis", x.shape().len());
    let length = x.shape()[axis] as isize;
    let lines = Lines::new(axis, [&x.layout, &y.layout]);
    let (from, to) = (ptr::<In>(x), ptr::<Out>(y));
    let [step, down] = lines.steps;
    let reverse = call.attrs.bool("reverse");
    lines.run(call.pool(), length as usize, |range| {
        for line in range {
            let [start, at] = lines.start(line);
            let mut sum = zero;
            for i in 0..length {
                let i = if reverse { length - 1 - i } else { i };
                // SAFETY: lines stay inside the views, and every output line belongs to one task.
                unsafe {
                    sum = add(sum, from.read(start + i * step));
                    to.write(at + i * down, store(sum));
                }
            }
        }
    });
}
