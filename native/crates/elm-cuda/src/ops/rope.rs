use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::angles;
use crate::function::Param;
use crate::grid::Grid;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("rope", run).strided().with_workspace(table_bytes)];

/// Steps of batch, head, token and component.
#[repr(C)]
struct Steps([i64; 4]);

// SAFETY: numbers.
unsafe impl Param for Steps {}

/// Batch, tokens and the size of a head.
fn sizes(x: &View) -> [usize; 3] {
    [x.shape()[0], x.shape()[2], x.shape()[3]]
}

fn table_bytes(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[0].as_ref().map_or(0, |x| angles::bytes(sizes(x), x.dtype, inputs[1].is_some()))
}

fn run(call: &KernelCall) -> Run {
    let (gpu, x, y) = (call.gpu(), call.input(0), call.output(0));
    if y.elements() == 0 {
        return Ok(());
    }
    let angles = angles::table(call, call.workspace, sizes(x), x.dtype, call.optional_input(1))?;
    let steps = Steps(std::array::from_fn(|axis| x.layout.strides[axis] as i64));
    let half = x.shape()[3] / 2;
    let pack = 16 / x.dtype.size();
    // Axes of size 1 are never stepped along.
    let whole = |axis: usize| x.shape()[axis] == 1 || (steps.0[axis] as usize).is_multiple_of(pack);
    let packed = half.is_multiple_of(pack)
        && steps.0[3] == 1
        && (0..3).all(whole)
        && [x, y].iter().all(|view| (address(view) as usize).is_multiple_of(16));
    let (name, each) = if packed { ("rope_packed", pack) } else { ("rope", 1) };
    let n = y.elements() / 2 / each;
    let (heads, count) = (x.shape()[1] as u32, n as u64);
    let sign: i32 = if call.attrs.bool("inverse") { -1 } else { 1 };
    let args: [&dyn Param; 7] = [&address(y), &address(x), &steps, &angles, &heads, &count, &sign];
    gpu.launch("rope", name, &[x.dtype], Grid::over(n, &gpu.limits), &args)
}
