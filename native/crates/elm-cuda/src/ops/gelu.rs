use elm_core::{Kernel, KernelCall};

use crate::map::map;
use crate::view::{CallExt, Run};

pub static KERNELS: &[Kernel] =
    &[Kernel::new("gelu", forward).strided(), Kernel::new("gelu_backward", backward).strided()];

fn is_exact(call: &KernelCall) -> bool {
    call.attrs.choice("approximate") == 0
}

fn forward(call: &KernelCall) -> Run {
    let name = if is_exact(call) { "gelu" } else { "gelu_tanh" };
    map::<2>(call, "gelu", name, &[call.input(0).dtype], &[])
}

fn backward(call: &KernelCall) -> Run {
    let name = if is_exact(call) { "gelu_backward" } else { "gelu_tanh_backward" };
    map::<3>(call, "gelu", name, &[call.input(0).dtype], &[])
}
