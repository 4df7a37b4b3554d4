//! Attention of generation on Hopper: which calls clusters of blocks take, and how they are launched
//! (`kernels/attention_cluster.cuh`).

use elm_core::DType;

use crate::Gpu;
use crate::attention::Plan;
use crate::driver::Result;
use crate::grid::Grid;
use crate::hopper;

/// Blocks of a cluster, and threads of a block.
const CLUSTER: usize = 8;
const THREADS: u32 = 128;
/// Keys up to which eight blocks a kv head are enough: they wait for memory once or a few times. Of more, a block for each 64
/// of them reads faster.
const MOST_KEYS: usize = 4096;

/// Whether they run here and take the call, which has few rows if it comes here at all.
pub fn takes(gpu: &Gpu, plan: &Plan) -> Result<bool> {
    let is_half = matches!(plan.dtype, DType::BF16 | DType::F16);
    let fits = is_half && [64, 128].contains(&plan.dim) && plan.keys <= MOST_KEYS;
    Ok(fits && hopper::runs(gpu, "attention_cluster", "attention_cluster_64", plan.dtype)?)
}

/// A cluster for each kv head.
pub fn grid(plan: &Plan) -> Grid {
    Grid::new(plan.batch * plan.kv_heads * CLUSTER, THREADS).clusters_of(CLUSTER as u32)
}
