use elm_core::{Kernel, KernelCall};

use crate::function::Param;
use crate::grid::{Grid, THREADS};
use crate::teams::Teams;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("softmax", |call| run(call, 0)),
    Kernel::new("log_softmax", |call| run(call, 1)),
    Kernel::new("softmax_backward", |call| run(call, 0)),
    Kernel::new("log_softmax_backward", |call| run(call, 1)),
];

/// Lines side by side that a block has.
const COLUMNS: usize = 32;

/// Forward kernels take the output and x, backward ones the output, its gradient and y.
fn run(call: &KernelCall, logarithm: u32) -> Run {
    let (x, out) = (call.input(0), call.output(0));
    if x.elements() == 0 {
        return Ok(());
    }
    let axis = call.attrs.axis("axis", x.shape().len());
    let length = x.shape()[axis];
    let inner: usize = x.shape()[axis + 1..].iter().product();
    let pointers = [address(out), address(x), call.optional_input(1).map_or(std::ptr::null_mut(), address)];
    let is_backward = call.optional_input(1).is_some();
    let mut args: Vec<&dyn Param> = pointers[..2 + usize::from(is_backward)].iter().map(|p| p as _).collect();
    let (length32, gpu, dtypes) = (length as u32, call.gpu(), [x.dtype]);
    if inner == 1 {
        let rows = x.elements() / length;
        let (teams, rows) = (Teams::of(rows, length, x.dtype), rows as u64);
        args.extend([&rows as &dyn Param, &length32, &logarithm, &teams.size]);
        let name = if is_backward { "softmax_backward" } else { "softmax" };
        return gpu.launch("softmax", name, &dtypes, teams.grid, &args);
    }
    let (blocks, inner) = (x.elements() / length / inner * inner.div_ceil(COLUMNS), inner as u64);
    args.extend([&length32 as &dyn Param, &inner, &logarithm]);
    let name = if is_backward { "softmax_backward_columns" } else { "softmax_columns" };
    gpu.launch("softmax", name, &dtypes, Grid::new(blocks, THREADS), &args)
}
