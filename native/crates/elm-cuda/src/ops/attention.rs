use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::attention::{Arguments, Path, Plan, Positions, start};
use crate::cluster;
use crate::function::Param;
use crate::grid::Grid;
use crate::hopper;
use crate::view::{CallExt, Run, address, optional};

pub static KERNELS: &[Kernel] = &[Kernel::new("attention", run).strided().with_workspace(workspace)];

const POSITIONS: Positions = Positions { q: 0, documents: 3, grad: None };

/// A call that clusters take with its inputs where they lie: what another kernel can do on its way.
pub(crate) struct InClusters {
    pub arguments: Arguments,
    pub grid: Grid,
}

impl InClusters {
    pub(crate) fn takes(call: &KernelCall) -> bool {
        plan(call.inputs, call.attrs).is_some_and(|(plan, _)| {
            matches!(plan.path, Path::Split { .. })
                && plan.is_direct()
                && call.output(0).elements() > 0
                // Where the kernel cannot be loaded, the call itself says so.
                && cluster::takes(call.gpu(), &plan).unwrap_or(false)
        })
    }

    /// Submits what must come before the kernel.
    pub(crate) fn of(call: &KernelCall) -> Run<InClusters> {
        let (plan, _) = plan(call.inputs, call.attrs).expect("the call was taken");
        let (_, arguments) = plan.prepare(call)?;
        Ok(InClusters { arguments, grid: cluster::grid(&plan) })
    }
}

/// The plan, and where the workspace has sums and statistics of parts of the keys.
fn plan(inputs: &[Option<View>], attrs: &Attrs) -> Option<(Plan, [usize; 2])> {
    let mut plan = Plan::new(inputs, attrs, POSITIONS)?;
    let mut parts = [0; 2];
    if let Path::Split { parts: count } = plan.path {
        let rows = plan.batch * plan.kv_heads * count * plan.rows();
        parts = [plan.take(rows * plan.dim * 4), plan.take(rows * 8)];
    }
    Some((plan, parts))
}

fn workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    plan(inputs, attrs).map_or(0, |(plan, _)| plan.used)
}

fn run(call: &KernelCall) -> Run {
    let (gpu, y) = (call.gpu(), call.output(0));
    let Some((plan, parts)) = plan(call.inputs, call.attrs) else { return Ok(()) };
    if y.elements() == 0 {
        return Ok(());
    }
    let (views, arguments) = plan.prepare(call)?;
    let (y, lse) = (address(y), optional(call.optional_output(1)));
    let [q, k, v] = [0, 1, 2].map(|position| start(&views, position));
    match plan.path {
        Path::Plain => {
            let (rows, grid) = plan.plain_grid(gpu, plan.rows(), 1);
            let args: [&dyn Param; 7] = [&y, &lse, &q, &k, &v, &arguments, &rows];
            gpu.launch("attention", "attention", &[plan.dtype], grid, &args)
        }
        Path::Flash if hopper::takes(gpu, &plan)? => {
            let name = if plan.dim == 64 { "hopper_forward_64" } else { "hopper_forward_128" };
            let heads = (plan.batch * plan.heads) as u32;
            let args: [&dyn Param; 7] = [&y, &lse, &q, &k, &v, &heads, &arguments];
            gpu.launch("hopper_forward", name, &[plan.dtype], hopper::forward_grid(gpu, &plan), &args)
        }
        Path::Flash => {
            let name = if plan.dim == 64 { "flash_forward_64" } else { "flash_forward_128" };
            let blocks = plan.batch * plan.heads * plan.queries.div_ceil(128);
            // 128 queries, 64 keys and 64 values.
            let grid = Grid::new(blocks, 128).shared((128 + 64 + 64) * plan.dim * 2);
            let args: [&dyn Param; 6] = [&y, &lse, &q, &k, &v, &arguments];
            gpu.launch("flash_forward", name, &[plan.dtype], grid, &args)
        }
        Path::Split { .. } if cluster::takes(gpu, &plan)? => {
            let name = if plan.dim == 64 { "attention_cluster_64" } else { "attention_cluster_128" };
            let args: [&dyn Param; 6] = [&y, &lse, &q, &k, &v, &arguments];
            gpu.launch("attention_cluster", name, &[plan.dtype], cluster::grid(&plan), &args)
        }
        Path::Split { parts: count } => {
            let [sums, stats] = parts.map(|at| call.workspace.wrapping_add(at));
            // Threads that share a key, which hold it 16 bytes each.
            let lanes = (plan.dim * plan.dtype.size() / 16).next_power_of_two() as u32;
            let name = match plan.rows() {
                1 => "attention_decode_1",
                2..=4 => "attention_decode_4",
                _ => "attention_decode_8",
            };
            let grid = Grid::new(plan.batch * plan.kv_heads * count, 128);
            let args: [&dyn Param; 11] =
                [&y, &lse, &sums, &stats, &gpu.counters, &q, &k, &v, &arguments, &lanes, &(count as u32)];
            gpu.launch("attention_decode", name, &[plan.dtype], grid, &args)
        }
    }
}
