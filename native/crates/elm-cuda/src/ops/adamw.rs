use elm_core::{Kernel, KernelCall};

use crate::lists;
use crate::view::Run;

pub static KERNELS: &[Kernel] = &[Kernel::new("adamw", run).strided()];

/// Scalar inputs before the lists: lr, step, scale, skip.
const FIXED: usize = 4;

fn run(call: &KernelCall) -> Run {
    let Some(Some(param)) = call.inputs.get(FIXED) else { return Ok(()) };
    let [beta1, beta2, eps, decay] =
        ["beta1", "beta2", "eps", "weight_decay"].map(|name| call.attrs.f64(name));
    lists::run::<4>(call, FIXED, "adamw", "adamw", &[param.dtype], &[&beta1, &beta2, &eps, &decay])
}
