use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::function::Param;
use crate::grid::{Grid, THREADS};
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("global_norm", run).with_workspace(partial_sums)];

/// Tensors of one launch.
const TENSORS: usize = 96;
/// Elements of a block.
const CHUNK: usize = 1 << 15;

/// `Tensors` of `global_norm.cu`.
#[repr(C)]
struct Tensors {
    starts: [*mut u8; TENSORS],
    sizes: [u64; TENSORS],
    firsts: [u32; TENSORS],
    count: u32,
}

// SAFETY: `repr(C)`, addresses and numbers; C++ pads the end to 8 bytes as `repr(C)` does.
unsafe impl Param for Tensors {}

fn chunks(tensor: &View) -> usize {
    tensor.elements().div_ceil(CHUNK)
}

fn partial_sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs.iter().flatten().map(chunks).sum::<usize>() * size_of::<f64>()
}

fn run(call: &KernelCall) -> Run {
    let gpu = call.gpu();
    let tensors: Vec<&View> = call.inputs.iter().flatten().filter(|tensor| tensor.elements() > 0).collect();
    let mut done = 0;
    for some in tensors.chunks(TENSORS) {
        let mut list = Tensors {
            starts: [std::ptr::null_mut(); TENSORS],
            sizes: [0; TENSORS],
            firsts: [0; TENSORS],
            count: some.len() as u32,
        };
        let mut blocks = 0;
        for (i, tensor) in some.iter().enumerate() {
            (list.starts[i], list.sizes[i]) = (address(tensor), tensor.elements() as u64);
            list.firsts[i] = blocks as u32;
            blocks += chunks(tensor);
        }
        let sums = call.workspace.wrapping_add(done * size_of::<f64>());
        let args: [&dyn Param; 2] = [&sums, &list];
        let grid = Grid::new(blocks, THREADS);
        gpu.launch("global_norm", "global_norm_squares", &[some[0].dtype], grid, &args)?;
        done += blocks;
    }
    let args: [&dyn Param; 3] = [&address(call.output(0)), &call.workspace, &(done as u64)];
    gpu.launch("global_norm", "global_norm", &[], Grid::new(1, 1024), &args)
}
