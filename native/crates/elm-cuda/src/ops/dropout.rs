use elm_core::{Kernel, KernelCall};

use crate::grid::Grid;
use crate::random::{stream, threshold};
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("dropout", run), Kernel::new("dropout_backward", run)];

/// Forward and backward are one function: the mask depends on the words alone.
fn run(call: &KernelCall) -> Run {
    let (gpu, x, y) = (call.gpu(), call.input(0), call.output(0));
    let ([seed, counter], n, p) = (stream(call.attrs), x.elements(), call.attrs.f64("p"));
    let (count, dropped, scale) = (n as u64, threshold(p), 1.0 / (1.0 - p));
    let args: [&dyn crate::Param; 7] = [&address(y), &address(x), &seed, &counter, &count, &dropped, &scale];
    gpu.launch("dropout", "dropout", &[x.dtype], Grid::over(n.div_ceil(4), &gpu.limits), &args)
}
