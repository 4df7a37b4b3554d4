use crate::gpu::Limits;

/// Blocks and threads of a launch, and bytes of shared memory of each block.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub blocks: [u32; 3],
    pub threads: [u32; 3],
    pub shared: u32,
    /// Blocks that run together and see each other's shared memory; a divisor of the blocks.
    pub cluster: u32,
}

/// Threads of a block of kernels that have no reason for another number.
pub const THREADS: u32 = 256;

impl Grid {
    pub fn new(blocks: usize, threads: u32) -> Grid {
        Grid::of([blocks, 1, 1], threads)
    }

    /// Blocks in three directions.
    pub fn of(blocks: [usize; 3], threads: u32) -> Grid {
        let blocks = blocks.map(|n| u32::try_from(n).expect("fewer than 2³² blocks"));
        Grid { blocks, threads: [threads, 1, 1], shared: 0, cluster: 1 }
    }

    /// For kernels whose threads step over elements: as many blocks as the chip holds at once, or fewer.
    pub fn over(elements: usize, limits: &Limits) -> Grid {
        let needed = elements.div_ceil(THREADS as usize);
        Grid::new(needed.min(limits.multiprocessors as usize * 8), THREADS)
    }

    pub fn shared(self, bytes: usize) -> Grid {
        Grid { shared: u32::try_from(bytes).expect("shared memory is small"), ..self }
    }

    pub fn clusters_of(self, blocks: u32) -> Grid {
        Grid { cluster: blocks, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.contains(&0)
    }
}
