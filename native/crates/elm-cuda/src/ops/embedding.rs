use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::grid::{Grid, THREADS};
use crate::sorting::Sorting;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("embedding", forward),
    Kernel::new("embedding_backward", backward).with_workspace(workspace),
];

/// Warps of a block.
const WARPS: usize = THREADS as usize / 32;

fn forward(call: &KernelCall) -> Run {
    let (weight, ids, y, gpu) = (call.input(0), call.input(1), call.output(0), call.gpu());
    let [rows, dim] = [weight.shape()[0], weight.shape()[1]];
    if ids.elements() == 0 {
        return Ok(());
    }
    let name = match weight.dtype.size() {
        2 => "embedding_2",
        4 => "embedding_4",
        _ => "embedding_8",
    };
    let args: [&dyn crate::Param; 7] = [
        &address(y),
        &address(weight),
        &address(ids),
        &gpu.word(ids, rows)?,
        &(ids.elements() as u64),
        &(rows as u32),
        &(dim as u32),
    ];
    gpu.launch("embedding", name, &[], Grid::new(ids.elements().div_ceil(WARPS), THREADS), &args)
}

/// Positions in the order of their ids.
fn sorting(ids: &View) -> Sorting {
    let length = ids.elements();
    Sorting { lines: 1, length, keep: length, entry: 8 }
}

fn workspace(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[1].as_ref().map_or(0, |ids| sorting(ids).workspace())
}

fn backward(call: &KernelCall) -> Run {
    let (grad, ids, y, gpu) = (call.input(0), call.input(1), call.output(0), call.gpu());
    let [rows, dim] = [y.shape()[0], y.shape()[1]];
    let (positions, rows32, sorting) = (ids.elements() as u32, rows as u32, sorting(ids));
    let mut sorted = call.workspace;
    if positions > 0 {
        let (word, tile) = (gpu.word(ids, rows)?, sorting.tile() as u32);
        let args: [&dyn crate::Param; 6] =
            [&call.workspace, &address(ids), &word, &positions, &rows32, &tile];
        gpu.launch("embedding", "embedding_sort", &[], sorting.grid(), &args)?;
        sorted = sorting.merge(gpu, call.workspace)?;
    }
    let padding = if call.attrs.is_given("padding_index") { call.attrs.int("padding_index") } else { -1 };
    let args: [&dyn crate::Param; 7] =
        [&address(y), &address(grad), &sorted, &positions, &rows32, &(dim as u32), &padding];
    // A warp has 32 packs of a row, or 32 elements where packs do not divide it.
    let per_pack = 16 / grad.dtype.size();
    let slab = if dim.is_multiple_of(per_pack) { 32 * per_pack } else { 32 };
    let grid = Grid::new((rows * dim.div_ceil(slab)).div_ceil(WARPS), THREADS);
    gpu.launch("embedding", "embedding_sums", &[grad.dtype, y.dtype], grid, &args)
}
