use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::attention::{Path, Plan, Positions, start};
use crate::function::Param;
use crate::grid::{Grid, THREADS};
use crate::hopper;
use crate::view::{CallExt, Run, optional};

pub static KERNELS: &[Kernel] = &[Kernel::new("attention_backward", run).strided().with_workspace(workspace)];

const POSITIONS: Positions = Positions { q: 1, documents: 6, grad: Some(0) };

/// The plan, and where the workspace has `Σ_dim grad · y`.
fn plan(inputs: &[Option<View>], attrs: &Attrs) -> Option<(Plan, usize)> {
    let mut plan = Plan::new(inputs, attrs, POSITIONS)?;
    let rows = plan.batch * plan.heads * plan.queries;
    let delta = plan.take(rows * plan.dtype.accumulator().size());
    Some((plan, delta))
}

fn workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    plan(inputs, attrs).map_or(0, |(plan, _)| plan.used)
}

fn run(call: &KernelCall) -> Run {
    let gpu = call.gpu();
    let Some((plan, delta)) = plan(call.inputs, call.attrs) else { return Ok(()) };
    let (views, arguments) = plan.prepare(call)?;
    let delta = call.workspace.wrapping_add(delta);
    let [dq, dk, dv] = [0, 1, 2].map(|position| optional(call.optional_output(position)));
    let [grad, q, k, v, y, lse] = [0, 1, 2, 3, 4, 5].map(|position| start(&views, position));
    let rows = plan.batch * plan.heads * plan.queries;
    let args: [&dyn Param; 5] = [&delta, &grad, &y, &arguments, &(rows as u64)];
    let grid = Grid::new((rows * 32).div_ceil(THREADS as usize), THREADS);
    gpu.launch("attention", "attention_delta", &[plan.dtype], grid, &args)?;
    // Some chips have less shared memory than the tiles of large heads want.
    let flash = plan.path == Path::Flash && flash_grid(&plan, 1).shared <= gpu.limits.shared;
    let on_hopper = hopper::takes(gpu, &plan)?;
    if !dq.is_null() {
        if on_hopper {
            let name = if plan.dim == 64 { "hopper_queries_64" } else { "hopper_queries_128" };
            let heads = (plan.batch * plan.heads) as u32;
            let args: [&dyn Param; 9] = [&dq, &grad, &q, &k, &v, &lse, &delta, &heads, &arguments];
            gpu.launch("hopper_backward", name, &[plan.dtype], hopper::queries_grid(gpu, &plan), &args)?;
        } else if flash {
            let blocks = plan.batch * plan.heads * plan.queries.div_ceil(128);
            let name = if plan.dim == 64 { "flash_queries_64" } else { "flash_queries_128" };
            let args: [&dyn Param; 8] = [&dq, &grad, &q, &k, &v, &lse, &delta, &arguments];
            gpu.launch("flash_backward", name, &[plan.dtype], flash_grid(&plan, blocks), &args)?;
        } else {
            let (rows, grid) = plan.plain_grid(gpu, plan.rows(), 1);
            let args: [&dyn Param; 9] = [&dq, &grad, &q, &k, &v, &lse, &delta, &arguments, &rows];
            gpu.launch("attention", "attention_backward_q", &[plan.dtype], grid, &args)?;
        }
    }
    if dk.is_null() && dv.is_null() {
        return Ok(());
    }
    if on_hopper {
        let name = if plan.dim == 64 { "hopper_keys_64" } else { "hopper_keys_128" };
        let args: [&dyn Param; 9] = [&dk, &dv, &grad, &q, &k, &v, &lse, &delta, &arguments];
        gpu.launch("hopper_backward", name, &[plan.dtype], hopper::keys_grid(&plan), &args)
    } else if flash {
        let blocks = plan.batch * plan.kv_heads * plan.keys.div_ceil(128);
        let name = if plan.dim == 64 { "flash_keys_64" } else { "flash_keys_128" };
        let args: [&dyn Param; 9] = [&dk, &dv, &grad, &q, &k, &v, &lse, &delta, &arguments];
        gpu.launch("flash_backward", name, &[plan.dtype], flash_grid(&plan, blocks), &args)
    } else {
        let (rows, grid) = plan.plain_grid(gpu, plan.keys, 2);
        let args: [&dyn Param; 10] = [&dk, &dv, &grad, &q, &k, &v, &lse, &delta, &arguments, &rows];
        gpu.launch("attention", "attention_backward_kv", &[plan.dtype], grid, &args)
    }
}

/// Two tiles of 128 rows, two stages of two tiles of 64 rows, and two numbers for each row of a stage.
fn flash_grid(plan: &Plan, blocks: usize) -> Grid {
    let threads = if plan.dim == 64 { 128 } else { 256 };
    Grid::new(blocks, threads).shared((2 * 128 + 4 * 64) * plan.dim * 2 + 4 * 64 * 4)
}
