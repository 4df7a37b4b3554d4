use elm_core::{DType, Kernel, KernelCall, KernelError, bf16, f16};

use super::rms_norm::{Normed, gradient, norm, partial_sums, wide_weight};
use crate::view::CallExt;
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("add_rms_norm", forward).with_workspace(wide_weight),
    Kernel::new("add_rms_norm_backward", backward).with_workspace(partial_sums),
];

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    let (branch, sum) = (call.input(1), call.output(0));
    let (weight, y, rstd) = (call.input(2), call.output(1), call.optional_output(2));
    let views = Normed { added: Some([branch, sum]), weight, y, rstd };
    match (sum.dtype, branch.dtype) {
        (DType::F32, DType::BF16) => norm::<f32, bf16>(call, views),
        (DType::F32, DType::F16) => norm::<f32, f16>(call, views),
        (dtype, _) => with_float!(dtype, T => norm::<T, T>(call, views)),
    }
    Ok(())
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    let dweight = call.optional_output(2);
    match (call.input(1).dtype, call.input(0).dtype) {
        (DType::F32, DType::BF16) => gradient::<f32, bf16>(call, [call.optional_output(1), dweight]),
        (DType::F32, DType::F16) => gradient::<f32, f16>(call, [call.optional_output(1), dweight]),
        // Both gradients are dx.
        (dtype, _) => with_float!(dtype, T => gradient::<T, T>(call, [None, dweight])),
    }
    Ok(())
}
