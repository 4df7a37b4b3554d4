use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::grid::Grid;
use crate::teams::{Teams, sharing_rows};
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("rms_norm", forward),
    Kernel::new("rms_norm_backward", backward).with_workspace(partial_sums),
];

pub(super) fn rows(x: &View) -> [usize; 2] {
    let dim = x.shape().last().copied().unwrap_or(1);
    [x.shape()[..x.shape().len() - 1].iter().product(), dim]
}

fn forward(call: &KernelCall) -> Run {
    let (x, weight, y) = (call.input(0), call.input(1), call.output(0));
    let [count, dim] = rows(x);
    let teams = Teams::of(count, dim, x.dtype);
    let (eps, count, dim) = (call.attrs.f64("eps"), count as u64, dim as u32);
    let (y, rstd) = (address(y), optional(call.optional_output(1)));
    let args: [&dyn crate::Param; 8] =
        [&y, &rstd, &address(x), &address(weight), &count, &dim, &teams.size, &eps];
    call.gpu().launch("rms_norm", "rms_norm", &[x.dtype, weight.dtype], teams.grid, &args)
}

/// Sums of the weight's gradient over each block's rows, in the accumulator.
pub(super) fn partial_sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[1].as_ref().map_or(0, |x| {
        let [count, dim] = rows(x);
        sharing_rows(count, dim, x.dtype).blocks[0] as usize * dim * x.dtype.accumulator().size()
    })
}

fn backward(call: &KernelCall) -> Run {
    let (grad, x, weight, rstd) = (call.input(0), call.input(1), call.input(2), call.input(3));
    let [count, dim] = rows(x);
    let dx = optional(call.optional_output(0));
    let grid = sharing_rows(count, dim, x.dtype);
    let (count, dim) = (count as u64, dim as u32);
    let args: [&dyn crate::Param; 8] =
        [&dx, &call.workspace, &address(grad), &address(x), &address(weight), &address(rstd), &count, &dim];
    call.gpu().launch("rms_norm", "rms_norm_backward", &[x.dtype, weight.dtype], grid, &args)?;
    sum_weights(call, call.optional_output(1))
}

/// Adds what the blocks of a backward kernel have left in the workspace.
pub(super) fn sum_weights(call: &KernelCall, dweight: Option<&View>) -> Run {
    let (x, Some(dweight)) = (call.input(1), dweight) else { return Ok(()) };
    let [count, dim] = rows(x);
    let blocks = sharing_rows(count, dim, x.dtype).blocks[0];
    let args: [&dyn crate::Param; 4] = [&address(dweight), &call.workspace, &blocks, &(dim as u32)];
    let grid = Grid::new(dim.div_ceil(32), 1024);
    call.gpu().launch("rms_norm", "rms_norm_sums", &[x.dtype, dweight.dtype], grid, &args)
}
