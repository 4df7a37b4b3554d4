//! Attention on Hopper: which calls its kernels take, and the shared memory of their blocks (`kernels/hopper.cuh`).

use elm_core::DType;

use crate::Gpu;
use crate::attention::{Path, Plan};
use crate::driver::Result;
use crate::grid::Grid;

/// Rows of a warpgroup.
const PART: usize = 64;
/// Steps of a ring of tiles.
const STAGES: usize = 4;
/// Two barriers of eight bytes for each stage of the rings of a block: of keys and values at most, and two of its own rows.
const BARRIERS: usize = (2 * STAGES + 2) * 16;
/// What is lost where dynamic shared memory does not begin at a multiple of it.
const ALIGNMENT: usize = 1024;

/// Whether this device runs a kernel for Hopper, and this build has machine code for it: code that a driver makes from
/// another chip's lacks what it is made of.
pub fn runs(gpu: &Gpu, module: &'static str, name: &'static str, dtype: DType) -> Result<bool> {
    const HOPPER: (u32, u32) = (9, 0);
    Ok(gpu.limits.capability == HOPPER && gpu.function(module, name, &[dtype])?.is_native)
}

/// Whether its kernels run here and take the call.
pub fn takes(gpu: &Gpu, plan: &Plan) -> Result<bool> {
    let name = if plan.dim == 64 { "hopper_forward_64" } else { "hopper_forward_128" };
    Ok(plan.path == Path::Flash && runs(gpu, "hopper_forward", name, plan.dtype)?)
}

/// Bytes of `rows` rows.
fn rows(plan: &Plan, rows: usize) -> usize {
    rows * plan.dim * DType::BF16.size()
}

/// A block for each multiprocessor, which goes from tile to tile, or fewer.
fn persistent(gpu: &Gpu, plan: &Plan, parts: usize, shared: usize) -> Grid {
    let tiles = plan.queries.div_ceil(parts * PART) * plan.batch * plan.heads;
    let blocks = tiles.min(gpu.limits.multiprocessors as usize);
    Grid::new(blocks, threads(parts)).shared(shared + BARRIERS + ALIGNMENT)
}

/// Warpgroups that compute, and one that copies.
fn threads(parts: usize) -> u32 {
    (parts as u32 + 1) * 128
}

pub fn forward_grid(gpu: &Gpu, plan: &Plan) -> Grid {
    const PARTS: usize = 3;
    let step = if plan.dim == 64 { 128 } else { 64 };
    persistent(gpu, plan, PARTS, rows(plan, 2 * PARTS * PART + STAGES * 2 * step))
}

pub fn queries_grid(gpu: &Gpu, plan: &Plan) -> Grid {
    const PARTS: usize = 2;
    persistent(gpu, plan, PARTS, rows(plan, 2 * PARTS * PART + STAGES * 2 * PART))
}

pub fn keys_grid(plan: &Plan) -> Grid {
    const PARTS: usize = 2;
    let blocks = plan.keys.div_ceil(PARTS * PART) * plan.batch * plan.kv_heads;
    // Beside each stage's rows are two numbers for each.
    let shared = rows(plan, 2 * PARTS * PART + STAGES * 2 * PART) + STAGES * 2 * PART * 4;
    Grid::new(blocks, threads(PARTS)).shared(shared + BARRIERS + ALIGNMENT)
}
