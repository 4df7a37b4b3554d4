use elm_core::{Kernel, KernelCall};

use super::rms_norm::{partial_sums, rows, sum_weights};
use crate::teams::{Teams, sharing_rows};
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("add_rms_norm", forward),
    Kernel::new("add_rms_norm_backward", backward).with_workspace(partial_sums),
];

/// Packs that a thread keeps of each of two rows: `KEPT_OF_BOTH` of `add_rms_norm.cu`.
pub(crate) const KEPT: usize = 2;

fn forward(call: &KernelCall) -> Run {
    let (x, branch, weight) = (call.input(0), call.input(1), call.input(2));
    let [count, dim] = rows(x);
    let teams = Teams::keeping(KEPT, count, dim, x.dtype);
    let (eps, count, dim) = (call.attrs.f64("eps"), count as u64, dim as u32);
    let args: [&dyn crate::Param; 10] = [
        &address(call.output(0)),
        &address(call.output(1)),
        &optional(call.optional_output(2)),
        &address(x),
        &address(branch),
        &address(weight),
        &count,
        &dim,
        &teams.size,
        &eps,
    ];
    let dtypes = [x.dtype, branch.dtype, weight.dtype];
    call.gpu().launch("add_rms_norm", "add_rms_norm", &dtypes, teams.grid, &args)
}

fn backward(call: &KernelCall) -> Run {
    let (grad, sum, weight, rstd) = (call.input(0), call.input(1), call.input(2), call.input(3));
    let [count, dim] = rows(sum);
    // Where it would be dx it is empty.
    let dbranch = call.optional_output(1).filter(|_| grad.dtype != sum.dtype);
    let grid = sharing_rows(count, dim, sum.dtype);
    let (count, dim) = (count as u64, dim as u32);
    let args: [&dyn crate::Param; 10] = [
        &optional(call.optional_output(0)),
        &optional(dbranch),
        &call.workspace,
        &address(grad),
        &address(sum),
        &address(weight),
        &address(rstd),
        &optional(call.optional_input(4)),
        &count,
        &dim,
    ];
    let dtypes = [sum.dtype, grad.dtype, weight.dtype];
    call.gpu().launch("add_rms_norm", "add_rms_norm_backward", &dtypes, grid, &args)?;
    sum_weights(call, call.optional_output(2))
}
