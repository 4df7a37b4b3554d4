//! Copies of any layout into any other.

use elm_core::View;

use crate::Gpu;
use crate::driver::Result;
use crate::grid::Grid;
use crate::nd::Nd;
use crate::view::address;

/// Edge of the square tiles in which turned axes are copied.
const TILE: usize = 32;

/// Submits a copy of `from` into `to`, which has the same shape and width. The two must not share memory.
pub fn copy(gpu: &Gpu, from: &View, to: &View) -> Result<()> {
    debug_assert_eq!(from.shape(), to.shape());
    let elements = to.elements();
    if elements == 0 {
        return Ok(());
    }
    gpu.bind();
    let nd = Nd::new([&to.layout, &from.layout]);
    let (target, source) = (address(to), address(from));
    if nd.is_straight(0) && nd.is_straight(1) {
        // SAFETY: both views are live and as long as each other.
        return unsafe { gpu.copy_bytes(source, target, to.bytes()) };
    }
    let width = to.dtype.size() as u32;
    // The last axis is straight in the target, another one in the source: tiles through shared memory, so that both
    // sides touch whole lines.
    let rank = nd.rank as usize;
    if rank >= 2 && nd.strides[0][rank - 1] == 1 && nd.strides[1][rank - 1] != 1 {
        let turned = (0..rank - 1).find(|&axis| nd.strides[1][axis] == 1);
        if let Some(axis) = turned {
            let across = (nd.dims[rank - 1] as usize).div_ceil(TILE);
            let down = (nd.dims[axis] as usize).div_ceil(TILE);
            let others = elements / (nd.dims[rank - 1] as usize * nd.dims[axis] as usize);
            if let Ok(blocks) = u32::try_from(across * down * others) {
                let grid = Grid { threads: [TILE as u32, 8, 1], ..Grid::new(blocks as usize, 1) };
                return gpu.launch(
                    "copy",
                    turn(width),
                    &[],
                    grid,
                    &[&target, &source.cast_const(), &nd, &(axis as u32)],
                );
            }
        }
    }
    let (nd, width) = nd.widened(to.dtype.size(), [target, source]);
    let units = nd.count();
    let grid = Grid::over(units, &gpu.limits);
    gpu.launch("copy", strided(width), &[], grid, &[&target, &source.cast_const(), &nd, &(units as u64)])
}

fn turn(width: u32) -> &'static str {
    match width {
        1 => "turn_1",
        2 => "turn_2",
        4 => "turn_4",
        _ => "turn_8",
    }
}

fn strided(width: usize) -> &'static str {
    match width {
        1 => "strided_1",
        2 => "strided_2",
        4 => "strided_4",
        8 => "strided_8",
        _ => "strided_16",
    }
}
