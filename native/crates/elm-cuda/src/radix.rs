//! A stable sort of 32-bit keys with a 32-bit value each; `radix.cu` is its other half.

use crate::Gpu;
use crate::driver::Result;
use crate::grid::Grid;

/// Pairs of one block; `TILE` of the kernels.
const TILE: usize = 4096;
const DIGITS: usize = 256;

/// Scratch memory of a sort of `n` pairs. The caller fills the keys, and owns the memory of the values.
pub struct Pairs {
    workspace: *mut u8,
    n: usize,
}

/// Bytes of scratch that [`Pairs`] wants.
pub fn bytes(n: usize) -> usize {
    3 * list(n) + list(DIGITS * n.div_ceil(TILE))
}

fn list(n: usize) -> usize {
    (4 * n).next_multiple_of(256)
}

/// Passes that sort keys up to `greatest`.
pub fn passes(greatest: usize) -> u32 {
    (usize::BITS - greatest.leading_zeros()).div_ceil(8)
}

impl Pairs {
    pub fn new(workspace: *mut u8, n: usize) -> Pairs {
        assert!(u32::try_from(n).is_ok(), "a sort takes fewer than 2³² keys");
        Pairs { workspace, n }
    }

    pub fn keys(&self) -> *mut u8 {
        self.workspace
    }

    /// After an odd number of passes the pairs lie in the second half.
    fn list(&self, number: usize) -> *mut u8 {
        self.workspace.wrapping_add(number * list(self.n))
    }

    /// Where the sorted keys are after `passes`.
    pub fn sorted_keys(&self, passes: u32) -> *mut u8 {
        self.list(passes as usize % 2)
    }

    /// Where the values of the sorted keys are after `passes`.
    pub fn sorted_values(&self, values: *mut u8, passes: u32) -> *mut u8 {
        if passes.is_multiple_of(2) { values } else { self.list(2) }
    }

    /// Sorts by the low `8 · passes` bits of the keys.
    pub fn sort(&self, gpu: &Gpu, values: *mut u8, passes: u32) -> Result<()> {
        let blocks = self.n.div_ceil(TILE);
        let (n, counts) = (self.n as u32, self.list(3));
        for pass in 0..passes {
            let shift = 8 * pass;
            let (keys, keys_out) = (self.sorted_keys(pass), self.sorted_keys(pass + 1));
            let (from, to) = (self.sorted_values(values, pass), self.sorted_values(values, pass + 1));
            let grid = Grid::new(blocks, 256);
            gpu.launch("radix", "radix_count", &[], grid, &[&counts, &keys, &n, &shift])?;
            let total = (DIGITS * blocks) as u32;
            gpu.launch("radix", "radix_scan", &[], Grid::new(blocks.min(1), 1024), &[&counts, &total])?;
            let args: [&dyn crate::Param; 7] = [&keys_out, &to, &keys, &from, &counts, &n, &shift];
            gpu.launch("radix", "radix_move", &[], grid, &args)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_cover_all_bits_of_the_greatest_key() {
        let all = [0, 1, 255, 256, 65_535, 65_536, (1 << 24) - 1, 1 << 24, u32::MAX as usize].map(passes);
        assert_eq!(all, [0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }
}
