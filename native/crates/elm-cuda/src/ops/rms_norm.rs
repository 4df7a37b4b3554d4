use elm_core::{Attrs, DType, Kernel, KernelCall, View};

use crate::grid::Grid;
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("rms_norm", forward),
    Kernel::new("rms_norm_backward", backward).with_workspace(partial_sums),
];

/// Blocks among which the rows of a gradient are shared, whatever the chip: the sums must not depend on it.
const BLOCKS: usize = 264;

fn rows(x: &View) -> [usize; 2] {
    let dim = x.shape().last().copied().unwrap_or(1);
    [x.elements().checked_div(dim).unwrap_or(0), dim]
}

/// Threads of the block of one row: each has at most a few packs of 16 bytes.
fn threads(dim: usize) -> u32 {
    (dim.div_ceil(8).next_multiple_of(32) as u32).clamp(32, 256)
}

fn forward(call: &KernelCall) -> Run {
    let (x, weight, y) = (call.input(0), call.input(1), call.output(0));
    let [count, dim] = rows(x);
    let dtypes = [x.dtype, weight.dtype];
    let (eps, dim32) = (call.attrs.f64("eps"), dim as u32);
    let (y, rstd) = (address(y), optional(call.optional_output(1)));
    let args: [&dyn crate::Param; 6] = [&y, &rstd, &address(x), &address(weight), &dim32, &eps];
    call.gpu().launch("rms_norm", "rms_norm", &dtypes, Grid::new(count, threads(dim)), &args)
}

/// Sums of the weight's gradient over each block's rows, in the accumulator.
fn partial_sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[1].as_ref().map_or(0, |x| BLOCKS.min(rows(x)[0]) * rows(x)[1] * x.dtype.accumulator().size())
}

fn backward(call: &KernelCall) -> Run {
    let (grad, x, weight, rstd) = (call.input(0), call.input(1), call.input(2), call.input(3));
    let [count, dim] = rows(x);
    let dtypes = [x.dtype, weight.dtype];
    let (dx, dweight) = (optional(call.optional_output(0)), call.optional_output(1));
    let (count32, dim32, blocks) = (count as u32, dim as u32, BLOCKS.min(count));
    let gpu = call.gpu();
    if count > 0 {
        let wide = if x.dtype == DType::F64 { 8 } else { 4 };
        let grid = Grid::new(blocks, threads(dim)).shared(dim * wide);
        let args: [&dyn crate::Param; 8] = [
            &dx,
            &call.workspace,
            &address(grad),
            &address(x),
            &address(weight),
            &address(rstd),
            &count32,
            &dim32,
        ];
        gpu.launch("rms_norm", "rms_norm_backward", &dtypes, grid, &args)?;
    }
    let Some(dweight) = dweight else { return Ok(()) };
    let blocks = blocks as u32;
    let args: [&dyn crate::Param; 4] = [&address(dweight), &call.workspace, &blocks, &dim32];
    gpu.launch("rms_norm", "rms_norm_sums", &dtypes, Grid::new(dim.div_ceil(32), 256), &args)
}
