//! Kernels of the triangles of matrices.

use elm_core::{Kernel, KernelCall};

use crate::grid::Grid;
use crate::nd::Nd;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("tril", |call| run(call, false)).strided(),
    Kernel::new("triu", |call| run(call, true)).strided(),
];

fn run(call: &KernelCall, upper: bool) -> Run {
    let (gpu, x, y) = (call.gpu(), call.input(0), call.output(0));
    let (n, rank) = (y.elements(), y.layout.rank());
    let nd = Nd::new([&y.layout, &x.layout]);
    let (target, source) = (address(y), address(x));
    let straight = (0..2).all(|i| nd.is_straight(i))
        && [target, source].iter().all(|&at| (at as usize).is_multiple_of(16));
    let name = match y.dtype.size() {
        1 => "triangle_1",
        2 => "triangle_2",
        4 => "triangle_4",
        _ => "triangle_8",
    };
    let each = if straight { 16 / y.dtype.size() } else { 1 };
    let [rows, columns] = [y.shape()[rank - 2] as u64, y.shape()[rank - 1] as u64];
    let diagonal = call.attrs.int("diagonal");
    let (count, upper, straight) = (n as u64, u32::from(upper), u32::from(straight));
    let args: [&dyn crate::Param; 9] =
        [&target, &source, &nd, &count, &rows, &columns, &diagonal, &upper, &straight];
    gpu.launch("triangle", name, &[], Grid::over(n.div_ceil(each), &gpu.limits), &args)
}
