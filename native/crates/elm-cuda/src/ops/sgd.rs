use elm_core::{Kernel, KernelCall};

use crate::lists;
use crate::view::Run;

pub static KERNELS: &[Kernel] =
    &[Kernel::new("sgd", plain).strided(), Kernel::new("sgd_momentum", momentum).strided()];

/// Scalar inputs before the lists: lr, scale, skip.
const FIXED: usize = 3;

fn plain(call: &KernelCall) -> Run {
    let Some(Some(param)) = call.inputs.get(FIXED) else { return Ok(()) };
    let decay = call.attrs.f64("weight_decay");
    lists::run::<2>(call, FIXED, "sgd", "sgd", &[param.dtype], &[&decay])
}

fn momentum(call: &KernelCall) -> Run {
    let Some(Some(param)) = call.inputs.get(FIXED) else { return Ok(()) };
    let [decay, momentum] = ["weight_decay", "momentum"].map(|name| call.attrs.f64(name));
    let nesterov = u32::from(call.attrs.bool("nesterov"));
    lists::run::<3>(call, FIXED, "sgd", "sgd_momentum", &[param.dtype], &[&decay, &momentum, &nesterov])
}
