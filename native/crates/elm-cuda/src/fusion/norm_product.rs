//! A residual's norm with the product behind it, and with the gate behind that.

use elm_core::{DType, KernelCall, View};

use super::{Fusion, are_apart, is_the_same};
use crate::function::Param;
use crate::grid::Grid;
use crate::ops::{KEPT_OF_BOTH, RowProduct};
use crate::teams::Teams;
use crate::view::{CallExt, Run, address};

pub const ALONE: Fusion = Fusion { ops: &["add_rms_norm", "matmul"], takes, run };
pub const WITH_SWIGLU: Fusion = Fusion { ops: &["add_rms_norm", "matmul", "swiglu"], takes, run };

/// Warps and threads of a block, and blocks of a multiprocessor, in `norm_product.cu`.
const WARPS: usize = 8;
const THREADS: usize = 256;
const BLOCKS: usize = 2;

/// Threads that share the row, as they do where it is normed alone: then its sum has the same bits.
fn team(row: &View) -> u32 {
    Teams::keeping(KEPT_OF_BOTH, 1, row.elements(), row.dtype).size
}

fn takes(calls: &[KernelCall]) -> bool {
    let (norm, product) = (&calls[0], &calls[1]);
    let [x, branch, weight] = [0, 1, 2].map(|position| norm.input(position));
    let (sum, normed) = (norm.output(0), norm.output(1));
    let Some(columns) = RowProduct::of(product) else { return false };
    let (h, b) = (product.output(0), product.input(1));
    let is_of_one_dtype = x.dtype == branch.dtype && x.dtype != DType::F64 && b.dtype == x.dtype;
    let is_one_row = x.elements() == columns.k && team(x) as usize <= THREADS;
    let gated = calls.get(2);
    let is_chain = is_the_same(normed, product.input(0))
        && gated.is_none_or(|gated| is_the_same(h, gated.input(0)) && columns.n.is_multiple_of(2));
    let mut writes = vec![sum, normed, h];
    writes.extend(gated.map(|gated| gated.output(0)));
    is_of_one_dtype
        && is_one_row
        && is_chain
        // The root's reciprocal is for gradients.
        && norm.optional_output(2).is_none()
        && [x, branch, weight, sum, normed].iter().all(|view| (address(view) as usize).is_multiple_of(16))
        && are_apart(&writes, &[x, branch, weight, b])
}

fn run(calls: &[KernelCall]) -> Run {
    let (norm, product, gated) = (&calls[0], &calls[1], calls.get(2));
    let (gpu, x, weight) = (norm.gpu(), norm.input(0), norm.input(2));
    let RowProduct { n, k, across, split } = RowProduct::of(product).expect("the calls were taken");
    let units = if gated.is_some() { n / 2 } else { n };
    let blocks = units.div_ceil(WARPS / split as usize).min(gpu.limits.multiprocessors as usize * BLOCKS);
    // The sum and the normed row.
    let grid = Grid::new(blocks, THREADS as u32).shared(2 * x.bytes());
    let y = gated.map_or(std::ptr::null_mut(), |gated| address(gated.output(0)));
    let args: [&dyn Param; 14] = [
        &address(norm.output(0)),
        &address(norm.output(1)),
        &address(product.output(0)),
        &y,
        &address(x),
        &address(norm.input(1)),
        &address(weight),
        &address(product.input(1)),
        &(n as u32),
        &(k as u32),
        &across,
        &split,
        &team(x),
        &norm.attrs.f64("eps"),
    ];
    let name = if gated.is_some() { "norm_swiglu" } else { "norm_product" };
    gpu.launch("norm_product", name, &[x.dtype, weight.dtype], grid, &args)
}
