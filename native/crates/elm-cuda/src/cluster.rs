//! Attention of generation on Hopper: which calls clusters of blocks take, and how they are launched
//! (`kernels/attention_cluster.cuh`).

use elm_core::DType;

use crate::Gpu;
use crate::attention::Plan;
use crate::driver::Result;
use crate::grid::Grid;

/// Blocks of a cluster, and threads of a block.
const CLUSTER: usize = 8;
const THREADS: u32 = 128;
/// Keys up to which eight blocks a kv head are enough: they wait for memory once or a few times. Of more, a block for each 64
/// of them reads faster.
const MOST_KEYS: usize = 4096;

/// Whether this device runs them, and this build has machine code for it. A call has few rows if it comes here at all.
pub fn takes(gpu: &Gpu, plan: &Plan) -> Result<bool> {
    const HOPPER: (u32, u32) = (9, 0);
    let is_half = matches!(plan.dtype, DType::BF16 | DType::F16);
    if !is_half || ![64, 128].contains(&plan.dim) || plan.keys > MOST_KEYS || gpu.limits.capability != HOPPER
    {
        return Ok(false);
    }
    gpu.function("attention_cluster", "attention_cluster_64", &[plan.dtype])
        .map(|function| function.is_native)
}

/// A cluster for each kv head.
pub fn grid(plan: &Plan) -> Grid {
    Grid::new(plan.batch * plan.kv_heads * CLUSTER, THREADS).clusters_of(CLUSTER as u32)
}
