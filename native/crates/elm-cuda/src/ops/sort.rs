use elm_core::{Attrs, DType, Kernel, KernelCall, View};

use crate::grid::Grid;
use crate::sorting::Sorting;
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("sort", |call| run(call, call.attrs.bool("descending"))).with_workspace(workspace),
    Kernel::new("topk", |call| run(call, call.attrs.bool("largest"))).with_workspace(workspace),
];

fn sorting(x: &View, y: &View, attrs: &Attrs) -> Sorting {
    let axis = attrs.axis("axis", x.shape().len());
    let (length, keep) = (x.shape()[axis], y.shape()[axis]);
    let entry = if matches!(x.dtype, DType::F64 | DType::I64) { 16 } else { 8 };
    Sorting { lines: x.elements().checked_div(length).unwrap_or(0), length, keep, entry }
}

fn workspace(inputs: &[Option<View>], outputs: &[Option<View>], attrs: &Attrs) -> usize {
    let (Some(x), Some(y)) = (&inputs[0], outputs.iter().flatten().next()) else { return 0 };
    let sorting = sorting(x, y, attrs);
    if y.elements() == 0 || sorting.tiles() == 1 { 0 } else { sorting.workspace() }
}

fn run(call: &KernelCall, descending: bool) -> Run {
    let (x, gpu) = (call.input(0), call.gpu());
    let Some(y) = call.outputs.iter().flatten().next().filter(|y| y.elements() > 0) else { return Ok(()) };
    let sorting = sorting(x, y, call.attrs);
    let axis = call.attrs.axis("axis", x.shape().len());
    let inner = x.shape()[axis + 1..].iter().product::<usize>() as u64;
    let dtypes = [if x.dtype == DType::Bool { DType::U8 } else { x.dtype }];
    let (values, indices) = (optional(call.optional_output(0)), optional(call.optional_output(1)));
    let (x, length, keep) = (address(x), sorting.length as u32, sorting.keep as u32);
    let (size, tiles) = (sorting.tile() as u32, sorting.tiles() as u32);
    let args: [&dyn crate::Param; 10] = [
        &values,
        &indices,
        &call.workspace,
        &x,
        &length,
        &keep,
        &inner,
        &u32::from(descending),
        &size,
        &tiles,
    ];
    gpu.launch("sort", "sort", &dtypes, sorting.grid(), &args)?;
    if tiles == 1 {
        return Ok(());
    }
    let runs = sorting.merge(gpu, call.workspace)?;
    let lines = sorting.lines as u64;
    let args: [&dyn crate::Param; 8] = [&values, &indices, &runs, &x, &length, &keep, &inner, &lines];
    let grid = Grid::over(sorting.lines * sorting.keep, &gpu.limits);
    gpu.launch("sort", "sort_finish", &dtypes, grid, &args)
}
