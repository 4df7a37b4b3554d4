//! Sorting of lines in tiles that are merged; `sort.cuh` and `sort.cu` are its other half.

use crate::Gpu;
use crate::driver::Result;
use crate::grid::Grid;

/// Bytes of shared memory in which a block sorts.
const TILE: usize = 32 << 10;

/// Lines to sort, of which the first `keep` entries are wanted.
pub struct Sorting {
    pub lines: usize,
    pub length: usize,
    pub keep: usize,
    /// Bytes of an entry: 8 for ranks of up to 32 bits, 16 for longer ones.
    pub entry: usize,
}

impl Sorting {
    /// Entries of a tile, a power of two.
    pub fn tile(&self) -> usize {
        self.length.next_power_of_two().clamp(2, TILE / self.entry)
    }

    /// Tiles of a line.
    pub fn tiles(&self) -> usize {
        self.length.div_ceil(self.tile())
    }

    /// A block for each tile of each line.
    pub fn grid(&self) -> Grid {
        let threads = (self.tile() / 2).clamp(32, 1024) as u32;
        Grid::new(self.lines * self.tiles(), threads).shared(self.tile() * self.entry)
    }

    /// Bytes of all runs when each is what is kept of `span` elements.
    fn runs(&self, span: usize) -> usize {
        self.lines * self.length.div_ceil(span) * span.min(self.keep) * self.entry
    }

    /// Bytes of the two places between which merges go to and fro.
    fn places(&self) -> [usize; 2] {
        let (mut places, mut span, mut turn) = ([0; 2], self.tile(), 0);
        loop {
            places[turn] = self.runs(span).next_multiple_of(256).max(places[turn]);
            if span >= self.length {
                return places;
            }
            (span, turn) = (span * 2, 1 - turn);
        }
    }

    /// Bytes of scratch; the sorted tiles lie at its start.
    pub fn workspace(&self) -> usize {
        self.places().iter().sum()
    }

    /// Merges the runs that the tiles left in `workspace` and gives the address of the sorted lines.
    pub fn merge(&self, gpu: &Gpu, workspace: *mut u8) -> Result<*mut u8> {
        let name = if self.entry == 8 { "sort_merge_short" } else { "sort_merge_long" };
        let (mut from, mut to) = (workspace, workspace.wrapping_add(self.places()[0]));
        let mut span = self.tile();
        while span < self.length {
            let slots = self.runs(span) / self.entry;
            let (lines, sizes) = (self.lines as u64, [self.length, self.keep, span].map(|n| n as u32));
            let args: [&dyn crate::Param; 6] = [&to, &from, &lines, &sizes[0], &sizes[1], &sizes[2]];
            gpu.launch("sort", name, &[], Grid::over(slots, &gpu.limits), &args)?;
            std::mem::swap(&mut from, &mut to);
            span *= 2;
        }
        Ok(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_hold_the_runs_of_every_merge() {
        for (length, keep) in [(1, 1), (4096, 4096), (4097, 4097), (17_000, 17_000), (50_257, 40)] {
            let sorting = Sorting { lines: 3, length, keep, entry: 8 };
            let (mut span, mut turn) = (sorting.tile(), 0);
            while span < length {
                assert!(sorting.runs(span) <= sorting.places()[turn]);
                (span, turn) = (span * 2, 1 - turn);
            }
            assert_eq!(sorting.runs(span), 3 * keep * 8, "one run of what is kept");
            assert!(sorting.runs(span) <= sorting.places()[turn]);
        }
    }
}
