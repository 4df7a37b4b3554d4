use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::grid::Grid;
use crate::teams::{Teams, sharing_rows};
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("layer_norm", forward),
    Kernel::new("layer_norm_backward", backward).with_workspace(partial_sums),
];

fn rows(x: &View) -> [usize; 2] {
    let dim = x.shape().last().copied().unwrap_or(1);
    [x.shape()[..x.shape().len() - 1].iter().product(), dim]
}

fn forward(call: &KernelCall) -> Run {
    let (x, y) = (call.input(0), call.output(0));
    let (weight, bias) = (call.optional_input(1), call.optional_input(2));
    let [count, dim] = rows(x);
    let teams = Teams::of(count, dim, x.dtype);
    let (eps, count, dim) = (call.attrs.f64("eps"), count as u64, dim as u32);
    let args: [&dyn crate::Param; 10] = [
        &address(y),
        &optional(call.optional_output(1)),
        &optional(call.optional_output(2)),
        &address(x),
        &optional(weight),
        &optional(bias),
        &count,
        &dim,
        &teams.size,
        &eps,
    ];
    let dtypes = [x.dtype, weight.or(bias).map_or(x.dtype, |parameter| parameter.dtype)];
    call.gpu().launch("layer_norm", "layer_norm", &dtypes, teams.grid, &args)
}

/// Sums of the gradients of weight and bias over each block's rows, in the accumulator.
fn partial_sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[1].as_ref().map_or(0, |x| {
        let [count, dim] = rows(x);
        2 * sharing_rows(count, dim, x.dtype).blocks[0] as usize * dim * x.dtype.accumulator().size()
    })
}

fn backward(call: &KernelCall) -> Run {
    let (grad, x, weight) = (call.input(0), call.input(1), call.optional_input(2));
    let (mean, rstd) = (call.input(3), call.input(4));
    let [count, dim] = rows(x);
    let dtypes = [x.dtype, weight.map_or(x.dtype, |weight| weight.dtype)];
    let grid = sharing_rows(count, dim, x.dtype);
    let (count, dim32) = (count as u64, dim as u32);
    let gpu = call.gpu();
    let args: [&dyn crate::Param; 9] = [
        &optional(call.optional_output(0)),
        &call.workspace,
        &address(grad),
        &address(x),
        &optional(weight),
        &address(mean),
        &address(rstd),
        &count,
        &dim32,
    ];
    gpu.launch("layer_norm", "layer_norm_backward", &dtypes, grid, &args)?;
    let bias_sums = call.workspace.wrapping_add(dim * x.dtype.accumulator().size());
    for (position, sums) in [(1, call.workspace), (2, bias_sums)] {
        let Some(out) = call.optional_output(position) else { continue };
        let args: [&dyn crate::Param; 4] = [&address(out), &sums, &grid.blocks[0], &dim32];
        gpu.launch("layer_norm", "layer_norm_sums", &dtypes, Grid::new(dim.div_ceil(32), 1024), &args)?;
    }
    Ok(())
}
