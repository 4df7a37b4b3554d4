//! A residual's norm with the product behind it, and with the gate behind that.

use elm_core::{DType, KernelCall, View};

use super::{Fusion, are_apart, is_the_same};
use crate::Gpu;
use crate::function::Param;
use crate::grid::Grid;
use crate::ops::{KEPT_OF_BOTH, RowProduct};
use crate::teams::Teams;
use crate::view::{CallExt, Run, address};

/// Warps of a block of `row_product.cuh`, and bytes that each of them asks for before the kernel before has ended.
const WARPS: usize = 12;
const THREADS: u32 = 32 * WARPS as u32;
const AHEAD: u32 = 16 << 10;

pub const ALONE: Fusion = Fusion { ops: &["add_rms_norm", "matmul"], takes, run };
pub const WITH_SWIGLU: Fusion = Fusion { ops: &["add_rms_norm", "matmul", "swiglu"], takes, run };

/// Threads that share the row, as they do where it is normed alone: then its sum has the same bits.
fn team(row: &View) -> u32 {
    Teams::keeping(KEPT_OF_BOTH, 1, row.elements(), row.dtype).size
}

/// A block for each multiprocessor, or fewer, that share the columns or pairs of them, with room for the sum, the normed row
/// and the norm's weight; `None` if there is none.
fn grid(gpu: &Gpu, product: &RowProduct, norm: &KernelCall, is_gated: bool) -> Option<Grid> {
    /// Shared memory that the kernel has besides.
    const OWN: usize = 1024;
    let units = if is_gated { product.n / 2 } else { product.n };
    let blocks = units.div_ceil(WARPS).min(gpu.limits.multiprocessors as usize);
    let shared = 2 * norm.input(0).bytes() + norm.input(2).bytes();
    let fits = shared + OWN <= gpu.limits.shared as usize;
    fits.then(|| Grid::new(blocks, THREADS).shared(shared))
}

fn takes(calls: &[KernelCall]) -> bool {
    let (norm, product) = (&calls[0], &calls[1]);
    let [x, branch, weight] = [0, 1, 2].map(|position| norm.input(position));
    let (sum, normed) = (norm.output(0), norm.output(1));
    let Some(columns) = RowProduct::of(product) else { return false };
    let (h, b) = (product.output(0), product.input(1));
    let is_of_one_dtype = x.dtype == branch.dtype && x.dtype != DType::F64 && b.dtype == x.dtype;
    let is_one_row = x.elements() == columns.k && team(x) <= THREADS;
    let gated = calls.get(2);
    let is_chain = is_the_same(normed, product.input(0))
        && gated.is_none_or(|gated| is_the_same(h, gated.input(0)) && columns.n.is_multiple_of(2));
    let mut writes = vec![sum, normed, h];
    writes.extend(gated.map(|gated| gated.output(0)));
    is_of_one_dtype
        && grid(norm.gpu(), &columns, norm, gated.is_some()).is_some()
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
    let product = RowProduct::of(product).expect("the calls were taken");
    let grid = grid(gpu, &product, norm, gated.is_some()).expect("the calls were taken");
    let RowProduct { n, k, across, split } = product;
    let y = gated.map_or(std::ptr::null_mut(), |gated| address(gated.output(0)));
    let args: [&dyn Param; 15] = [
        &address(norm.output(0)),
        &address(norm.output(1)),
        &address(calls[1].output(0)),
        &y,
        &address(x),
        &address(norm.input(1)),
        &address(weight),
        &address(calls[1].input(1)),
        &(n as u32),
        &(k as u32),
        &across,
        &split,
        &AHEAD,
        &team(x),
        &norm.attrs.f64("eps"),
    ];
    let name = if gated.is_some() { "norm_swiglu" } else { "norm_product" };
    gpu.launch("norm_product", name, &[x.dtype, weight.dtype], grid, &args)
}
