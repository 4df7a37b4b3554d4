use elm_core::{Kernel, KernelCall, elements};

use crate::function::Param;
use crate::grid::Grid;
use crate::quantized::Quantized;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[Kernel::new("quantize", quantize), Kernel::new("dequantize", dequantize)];

/// Warps of a block, each of which has a group.
const WARPS: usize = 8;

fn quantize(call: &KernelCall) -> Run {
    let w = call.input(0);
    let [bits, group] = ["bits", "group"].map(|name| call.attrs.int(name) as u32);
    let groups = w.elements() / group as usize;
    let [codes, scales, biases] = [0, 1, 2].map(|i| address(call.output(i)));
    let args: [&dyn Param; 7] = [&codes, &scales, &biases, &address(w), &(groups as u64), &bits, &group];
    let grid = Grid::new(groups.div_ceil(WARPS), WARPS as u32 * 32);
    call.gpu().launch("quantize", "quantize", &[w.dtype], grid, &args)
}

fn dequantize(call: &KernelCall) -> Run {
    let y = call.output(0);
    if y.elements() == 0 {
        return Ok(());
    }
    let w = Quantized::new([0, 1, 2].map(|i| call.input(i)), call.attrs);
    let rows = elements(&y.shape()[..y.shape().len() - 1]);
    w.numbers(call.gpu(), rows, [call.input(1).dtype, y.dtype], address(y))
}
