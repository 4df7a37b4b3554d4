use elm_core::{Attrs, DType, Kernel, KernelCall, View};

use crate::Gpu;
use crate::blas::{Matrix, Product};
use crate::function::Param;
use crate::grid::Grid;
use crate::loss::{Loss, SUMS, store_losses};
use crate::teams::Teams;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("linear_cross_entropy", run).with_workspace(workspace)];

/// Bytes of logits that are held at a time.
const CHUNK: usize = 256 << 20;
/// Rows of a chunk are a multiple of this, and no fewer: a product's tiles.
const ROWS: usize = 128;
/// Packs of a row that a thread keeps, as `linear_cross_entropy.cu` has it.
const KEPT: usize = 8;

/// Sizes of a call, and where its scratch lies.
struct Plan {
    rows: usize,
    classes: usize,
    dim: usize,
    /// Rows of a chunk, and the step from row to row of its logits: aligned, whatever the number of classes.
    chunk: usize,
    pitch: usize,
    dtype: DType,
    /// What the gradient of logits is multiplied in.
    factor: DType,
    /// Starts of scratch, in bytes.
    logits: usize,
    gradient: usize,
    /// `weight`, the chunk of `hidden` and that of its gradient in f32, where f16 is widened.
    wide: [usize; 3],
    bytes: usize,
}

impl Plan {
    fn of(inputs: &[Option<View>], outputs: &[Option<View>]) -> Plan {
        let [hidden, weight] = [0, 1].map(|i| inputs[i].as_ref().expect("both are required"));
        let ([rows, dim], classes) = ([hidden.shape()[0], hidden.shape()[1]], weight.shape()[0]);
        let (dtype, wide) = (hidden.dtype, hidden.dtype.accumulator().size());
        let pitch = classes.next_multiple_of(8);
        let chunk = (CHUNK / (pitch * wide) / ROWS * ROWS).max(ROWS).min(rows);
        let wants_gradient = outputs.iter().skip(3).any(Option::is_some);
        let mut bytes = 0;
        let mut take = |size: usize| {
            let start = bytes;
            bytes += size.next_multiple_of(256);
            start
        };
        take(rows * SUMS);
        let logits = take(chunk * pitch * wide);
        // bf16 rounds the gradient to a matrix of its own, other dtypes overwrite the logits.
        let rounds = dtype == DType::BF16;
        let gradient = if rounds && wants_gradient { take(chunk * pitch * 2) } else { logits };
        let widens = dtype == DType::F16 && wants_gradient;
        let wide = [classes, chunk, chunk].map(|rows| if widens { take(rows * dim * 4) } else { 0 });
        let factor = if rounds { DType::BF16 } else { dtype.accumulator() };
        Plan { rows, classes, dim, chunk, pitch, dtype, factor, logits, gradient, wide, bytes }
    }
}

fn workspace(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> usize {
    Plan::of(inputs, outputs).bytes
}

/// A row-major matrix whose rows begin `step` elements apart, and the same seen from the side.
fn matrix(start: *mut u8, dtype: DType, step: usize) -> Matrix {
    Matrix { start, dtype, steps: [step as isize, 1], batch: 0 }
}
fn turned(matrix: Matrix) -> Matrix {
    Matrix { steps: [matrix.steps[1], matrix.steps[0]], ..matrix }
}

/// From f16 to f32 or back.
fn convert(gpu: &Gpu, name: &'static str, to: *mut u8, from: *mut u8, elements: usize) -> Run {
    let args: [&dyn Param; 3] = [&to, &from, &(elements as u64)];
    gpu.launch("linear_cross_entropy", name, &[], Grid::over(elements, &gpu.limits), &args)
}

/// For each chunk of rows: logits, their losses, and where a gradient is wanted its products with `weight` and `hidden`.
/// `dweight` grows chunk by chunk, in order.
fn run(call: &KernelCall) -> Run {
    let plan = Plan::of(call.inputs, call.outputs);
    let (weight, targets, gpu) = (call.input(1), call.input(2), call.gpu());
    if let (Some(dweight), 0) = (call.optional_output(4), plan.rows) {
        // SAFETY: the output is live and row-major.
        unsafe { gpu.fill_bytes(address(dweight), 0, dweight.bytes())? };
    }
    if plan.rows > 0 {
        let word = gpu.word(targets, plan.classes)?;
        let wide_weight = call.workspace.wrapping_add(plan.wide[0]);
        if plan.dtype == DType::F16 && wants_gradient(call) {
            convert(gpu, "widen_f16", wide_weight, address(weight), weight.elements())?;
        }
        for start in (0..plan.rows).step_by(plan.chunk) {
            let count = plan.chunk.min(plan.rows - start);
            losses(call, &plan, word, start, count)?;
            if plan.dim > 0 {
                gradients(call, &plan, start, count)?;
            }
        }
    }
    store_losses(call, plan.dtype, call.workspace, plan.rows)
}

fn wants_gradient(call: &KernelCall) -> bool {
    call.outputs.iter().skip(3).any(Option::is_some)
}

/// The chunk of `hidden`.
fn hidden_rows(call: &KernelCall, plan: &Plan, start: usize) -> *mut u8 {
    address(call.input(0)).wrapping_add(start * plan.dim * plan.dtype.size())
}

/// Logits of `count` rows from `start`, what they add to the losses, and their gradient.
fn losses(call: &KernelCall, plan: &Plan, word: *mut u8, start: usize, count: usize) -> Run {
    let gpu = call.gpu();
    let accumulator = plan.dtype.accumulator();
    let logits = call.workspace.wrapping_add(plan.logits);
    if plan.dim == 0 {
        // SAFETY: the chunk lies inside the scratch.
        unsafe { gpu.fill_bytes(logits, 0, count * plan.pitch * accumulator.size())? };
    } else {
        gpu.multiply(&Product {
            size: [count, plan.classes, plan.dim],
            batches: 1,
            a: matrix(hidden_rows(call, plan, start), plan.dtype, plan.dim),
            b: turned(matrix(address(call.input(1)), plan.dtype, plan.dim)),
            c: matrix(logits, accumulator, plan.pitch),
            accumulate: false,
        })?;
    }
    let teams = Teams::keeping(KEPT, count, plan.classes, accumulator);
    let gradient =
        if wants_gradient(call) { call.workspace.wrapping_add(plan.gradient) } else { std::ptr::null_mut() };
    let args: [&dyn Param; 11] = [
        &call.workspace.wrapping_add(start * SUMS),
        &gradient,
        &logits,
        &address(call.input(2)).wrapping_add(start * size_of::<i32>()),
        &word,
        &(start as u64),
        &Loss::of(call.attrs, plan.classes),
        &(count as u64),
        &(plan.classes as u32),
        &(plan.pitch as u32),
        &teams.size,
    ];
    let dtypes = [accumulator, plan.factor];
    gpu.launch("linear_cross_entropy", "linear_cross_entropy", &dtypes, teams.grid, &args)
}

/// The products of the gradient of a chunk's logits. Both factors of a product have one dtype: f16 is widened.
fn gradients(call: &KernelCall, plan: &Plan, start: usize, count: usize) -> Run {
    let gpu = call.gpu();
    let (dim, classes, widens) = (plan.dim, plan.classes, plan.dtype == DType::F16);
    let scratch = |start: usize| call.workspace.wrapping_add(start);
    let gradient = matrix(scratch(plan.gradient), plan.factor, plan.pitch);
    if let Some(dhidden) = call.optional_output(3) {
        let out = address(dhidden).wrapping_add(start * dim * plan.dtype.size());
        let weight = if widens { scratch(plan.wide[0]) } else { address(call.input(1)) };
        gpu.multiply(&Product {
            size: [count, dim, classes],
            batches: 1,
            a: gradient,
            b: matrix(weight, plan.factor, dim),
            c: matrix(if widens { scratch(plan.wide[2]) } else { out }, plan.factor, dim),
            accumulate: false,
        })?;
        if widens {
            convert(gpu, "narrow_f16", out, scratch(plan.wide[2]), count * dim)?;
        }
    }
    if let Some(dweight) = call.optional_output(4) {
        let mut hidden = hidden_rows(call, plan, start);
        if widens {
            convert(gpu, "widen_f16", scratch(plan.wide[1]), hidden, count * dim)?;
            hidden = scratch(plan.wide[1]);
        }
        gpu.multiply(&Product {
            size: [classes, dim, count],
            batches: 1,
            a: turned(gradient),
            b: matrix(hidden, plan.factor, dim),
            c: matrix(address(dweight), plan.dtype.accumulator(), dim),
            accumulate: start > 0,
        })?;
    }
    Ok(())
}
