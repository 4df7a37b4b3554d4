use elm_core::{Kernel, KernelCall};

use crate::copy::copy;
use crate::map::map;
use crate::view::{CallExt, Run};

pub static KERNELS: &[Kernel] = &[Kernel::new("cast", cast).strided()];

fn cast(call: &KernelCall) -> Run {
    let (x, y) = (call.input(0), call.output(0));
    if x.dtype == y.dtype {
        return copy(call.gpu(), x, y);
    }
    map::<2>(call, "cast", "cast", &[x.dtype, y.dtype], &[])
}
