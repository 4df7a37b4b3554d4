//! Launches of reductions; `reduce.cuh` is their other half.

use elm_core::{DType, KernelCall, View};
use smallvec::SmallVec;

use crate::function::Param;
use crate::grid::{Grid, THREADS};
use crate::nd::Nd;
use crate::view::{CallExt, Run, address};

/// Outputs of a block whose threads have outputs side by side, and threads of each.
const SIDE: usize = 32;
const ALONG: usize = THREADS as usize / SIDE;
/// Elements that a thread should have before a reduction is cut: two packs of half precision, since it waits for each.
const FEWEST: usize = 16;
/// Blocks that keep a large chip busy.
const ENOUGH: usize = 1024;
/// Bytes of the widest accumulator.
const ACCUMULATOR: usize = 16;

/// A reduction of a row-major tensor over some of its axes, and how it is shared.
pub struct Reduction {
    kept: Nd<1>,
    reduced: Nd<1>,
    outputs: usize,
    /// Elements of each output.
    count: usize,
    /// Threads of an output along the last axis; 0 where that axis is kept.
    team: u32,
    blocks: usize,
    /// Elements of a part.
    chunk: usize,
    parts: usize,
}

impl Reduction {
    pub fn of(x: &View, mask: &[bool]) -> Reduction {
        let axes = |reduced: bool| {
            let chosen = (0..mask.len()).filter(|&axis| mask[axis] == reduced);
            let (dims, steps): (SmallVec<[usize; 8]>, SmallVec<[isize; 8]>) =
                chosen.map(|axis| (x.shape()[axis], x.layout.strides[axis])).unzip();
            (Nd::of(&dims, [&steps]), dims.iter().product::<usize>())
        };
        let ((kept, outputs), (reduced, count)) = (axes(false), axes(true));
        let last = (0..mask.len()).rev().find(|&axis| x.shape()[axis] != 1);
        let per_pack = if reduced.is_straight(0) { 16 / x.dtype.size() } else { 1 };
        let team = match count.div_ceil(per_pack) {
            _ if last.is_some_and(|axis| !mask[axis]) => 0,
            packs if packs > 128 => THREADS,
            packs => packs.next_power_of_two().clamp(1, 32) as u32,
        };
        let (per_block, threads) =
            if team == 0 { (SIDE, ALONG) } else { (THREADS as usize / team as usize, team as usize) };
        let blocks = outputs.div_ceil(per_block);
        let most = count.div_ceil(threads * FEWEST);
        let parts = ENOUGH.checked_div(blocks).unwrap_or(1).min(most).max(1);
        // Parts begin where packs do.
        let chunk = count.div_ceil(parts).next_multiple_of(16).max(16);
        let parts = count.div_ceil(chunk).max(1);
        Reduction { kept, reduced, outputs, count, team, blocks, chunk, parts }
    }

    /// Bytes for the parts' results.
    pub fn workspace(&self) -> usize {
        if self.parts > 1 { self.outputs * self.parts * ACCUMULATOR } else { 0 }
    }

    /// Runs kernel `name` of a file, and where the reduction is cut `join` over its parts.
    pub fn run(
        &self,
        call: &KernelCall,
        module: &'static str,
        [name, join]: [&'static str; 2],
        dtype: DType,
    ) -> Run {
        let (gpu, x, y) = (call.gpu(), address(call.input(0)), address(call.output(0)));
        if self.outputs == 0 {
            return Ok(());
        }
        let (outputs, count) = (self.outputs as u64, self.count as u64);
        let args: [&dyn Param; 9] = [
            &y,
            &call.workspace,
            &x,
            &self.kept,
            &self.reduced,
            &outputs,
            &count,
            &(self.chunk as u64),
            &self.team,
        ];
        gpu.launch(module, name, &[dtype], Grid::of([self.blocks, self.parts, 1], THREADS), &args)?;
        if self.parts == 1 {
            return Ok(());
        }
        let args: [&dyn Param; 5] = [&y, &call.workspace, &outputs, &count, &(self.parts as u32)];
        gpu.launch(module, join, &[dtype], Grid::new(self.outputs.div_ceil(8), THREADS), &args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elm_core::Layout;

    #[test]
    fn long_reductions_are_cut_and_short_ones_are_not() {
        let of = |shape: &[usize], mask: &[bool]| {
            let layout = Layout::contiguous(shape);
            Reduction::of(&View { base: std::ptr::null_mut(), dtype: DType::F32, layout }, mask)
        };
        let rows = of(&[5000, 3, 100], &[false, false, true]);
        assert_eq!((rows.team, rows.blocks, rows.parts), (32, 1875, 1));
        let columns = of(&[4096, 64], &[true, false]);
        assert_eq!((columns.team, columns.blocks, columns.parts, columns.chunk), (0, 2, 32, 128));
        let all = of(&[1 << 20, 7], &[true, true]);
        assert_eq!((all.team, all.outputs, all.count), (256, 1, 7 << 20));
        assert!(
            all.parts > 1 && (all.parts - 1) * all.chunk < all.count && all.parts * all.chunk >= all.count
        );
        let nothing = of(&[3, 0], &[false, true]);
        assert_eq!((nothing.outputs, nothing.count, nothing.parts), (3, 0, 1));
        let scalar = of(&[], &[]);
        assert_eq!((scalar.outputs, scalar.count, scalar.team), (1, 1, 1));
    }
}
