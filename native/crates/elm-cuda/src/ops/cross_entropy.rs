use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::loss::{Loss, SUMS, store_losses};
use crate::teams::Teams;
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("cross_entropy", forward).with_workspace(sums),
    Kernel::new("cross_entropy_backward", backward),
];

/// What each row adds to `ce` and `z`.
fn sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[1].as_ref().map_or(0, |targets| targets.elements() * SUMS)
}

fn forward(call: &KernelCall) -> Run {
    let (logits, targets, gpu) = (call.input(0), call.input(1), call.gpu());
    let (rows, classes) = (targets.elements(), logits.shape()[logits.shape().len() - 1]);
    if rows > 0 {
        let teams = Teams::of(rows, classes, logits.dtype);
        let args: [&dyn crate::Param; 9] = [
            &optional(call.optional_output(3)),
            &call.workspace,
            &address(logits),
            &address(targets),
            &gpu.word(targets, classes)?,
            &Loss::of(call.attrs, classes),
            &(rows as u64),
            &(classes as u32),
            &teams.size,
        ];
        gpu.launch("cross_entropy", "cross_entropy", &[logits.dtype], teams.grid, &args)?;
    }
    store_losses(call, logits.dtype, call.workspace, rows)
}

fn backward(call: &KernelCall) -> Run {
    let (grad, logits, targets, lse) = (call.input(0), call.input(1), call.input(2), call.input(3));
    let (rows, classes) = (targets.elements(), logits.shape()[logits.shape().len() - 1]);
    if rows == 0 {
        return Ok(());
    }
    let gpu = call.gpu();
    let teams = Teams::of(rows, classes, logits.dtype);
    let args: [&dyn crate::Param; 10] = [
        &address(call.output(0)),
        &address(grad),
        &address(logits),
        &address(targets),
        &address(lse),
        &gpu.word(targets, classes)?,
        &Loss::of(call.attrs, classes),
        &(rows as u64),
        &(classes as u32),
        &teams.size,
    ];
    gpu.launch("cross_entropy", "cross_entropy_backward", &[logits.dtype], teams.grid, &args)
}
