use elm_core::{Attrs, DType, Kernel, KernelCall, View};

use crate::grid::{Grid, THREADS};
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("cumsum", run).with_workspace(totals)];

/// Elements of the shortest chunk of a line that is cut, a multiple of a block's tile.
const CHUNK: usize = 8192;
/// Most chunks of a line.
const CHUNKS: usize = 1024;
/// Lines that need no cutting: a large chip is busy with them.
const ENOUGH: usize = 264;

/// Number of lines along the axis, their length, and the step of each.
fn lines(x: &View, attrs: &Attrs) -> [usize; 3] {
    let axis = attrs.axis("axis", x.shape().len());
    let (length, inner) = (x.shape()[axis], x.shape()[axis + 1..].iter().product());
    [x.elements().checked_div(length).unwrap_or(0), length, inner]
}

/// Elements of each chunk of a straight line.
fn chunk([lines, length, _]: [usize; 3]) -> usize {
    let chunks = if lines >= ENOUGH { 1 } else { (length / CHUNK).clamp(1, CHUNKS) };
    length.div_ceil(chunks).next_multiple_of(1024)
}

fn totals(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    let Some(x) = &inputs[0] else { return 0 };
    let sizes = lines(x, attrs);
    if x.elements() == 0 || sizes[2] != 1 {
        return 0;
    }
    sizes[0] * sizes[1].div_ceil(chunk(sizes)) * 8
}

fn run(call: &KernelCall) -> Run {
    let (x, y, gpu) = (call.input(0), call.output(0), call.gpu());
    if x.elements() == 0 {
        return Ok(());
    }
    let dtypes = [if x.dtype == DType::Bool { DType::U8 } else { x.dtype }];
    let reverse = u32::from(call.attrs.bool("reverse"));
    let sizes @ [lines, length, inner] = lines(x, call.attrs);
    let (x, y, length64) = (address(x), address(y), length as u64);
    if inner != 1 {
        let args: [&dyn crate::Param; 6] = [&y, &x, &length64, &(inner as u64), &(lines as u64), &reverse];
        return gpu.launch("cumsum", "cumsum_columns", &dtypes, Grid::over(lines, &gpu.limits), &args);
    }
    let chunk = chunk(sizes);
    let grid = Grid::of([lines, length.div_ceil(chunk), 1], THREADS);
    let chunk = chunk as u64;
    if grid.blocks[1] > 1 {
        let args: [&dyn crate::Param; 5] = [&call.workspace, &x, &length64, &chunk, &reverse];
        gpu.launch("cumsum", "cumsum_totals", &dtypes, grid, &args)?;
    }
    let args: [&dyn crate::Param; 6] = [&y, &call.workspace, &x, &length64, &chunk, &reverse];
    gpu.launch("cumsum", "cumsum", &dtypes, grid, &args)
}
