use elm_core::{Kernel, KernelCall};

use crate::function::Param;
use crate::grid::Grid;
use crate::pattern::pattern;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("full", full), Kernel::new("arange", arange)];

fn full(call: &KernelCall) -> Run {
    let (gpu, y) = (call.gpu(), call.output(0));
    let bits = pattern(y.dtype, call.attrs.f64("value"));
    let name = match y.dtype.size() {
        1 => "full_1",
        2 => "full_2",
        4 => "full_4",
        _ => "full_8",
    };
    let grid = Grid::over(y.bytes().div_ceil(16), &gpu.limits);
    gpu.launch("creation", name, &[], grid, &[&address(y), &bits, &(y.elements() as u64)])
}

fn arange(call: &KernelCall) -> Run {
    let (gpu, y) = (call.gpu(), call.output(0));
    let (start, step) = (call.attrs.f64("start"), call.attrs.f64("step"));
    let n = y.elements();
    let run = |start: &dyn Param, step: &dyn Param| {
        let grid = Grid::over(n, &gpu.limits);
        gpu.launch("creation", "arange", &[y.dtype], grid, &[&address(y), start, step, &(n as u64)])
    };
    if y.dtype.is_float() { run(&start, &step) } else { run(&(start as i64), &(step as i64)) }
}
