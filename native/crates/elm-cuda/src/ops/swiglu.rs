use elm_core::{Kernel, KernelCall, View};

use crate::grid::Grid;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("swiglu", forward), Kernel::new("swiglu_backward", backward)];

/// Packs of a half row, packs in all, and whether they are more than single elements.
fn packs(half: &View, views: &[&View]) -> (u64, u64, u32) {
    let dim = half.shape().last().copied().unwrap_or(1);
    let wide = 16 / half.dtype.size();
    let packed = dim.is_multiple_of(wide) && views.iter().all(|v| (address(v) as usize).is_multiple_of(16));
    let each = if packed { wide } else { 1 };
    ((dim / each) as u64, (half.elements() / each) as u64, u32::from(packed))
}

fn forward(call: &KernelCall) -> Run {
    let (gpu, x, y) = (call.gpu(), call.input(0), call.output(0));
    let (dim, n, packed) = packs(y, &[x, y]);
    let args: [&dyn crate::Param; 5] = [&address(y), &address(x), &dim, &n, &packed];
    gpu.launch("swiglu", "swiglu", &[x.dtype], Grid::over(n as usize, &gpu.limits), &args)
}

fn backward(call: &KernelCall) -> Run {
    let (gpu, grad, x, dx) = (call.gpu(), call.input(0), call.input(1), call.output(0));
    let (dim, n, packed) = packs(grad, &[grad, x, dx]);
    let args: [&dyn crate::Param; 6] = [&address(dx), &address(grad), &address(x), &dim, &n, &packed];
    gpu.launch("swiglu", "swiglu_backward", &[x.dtype], Grid::over(n as usize, &gpu.limits), &args)
}
