use std::sync::{Mutex, PoisonError};

use crate::alloc::{Block, MemoryStats, size_class};
use crate::device::Device;

/// Memory of one recording: its addresses must mean the same in every run, so nobody else gets its blocks.
///
/// Blocks that are given back while it is recorded serve later work of the same recording, which runs later too.
pub struct PrivatePool {
    device: &'static Device,
    free: Mutex<Vec<Block>>,
}

impl PrivatePool {
    pub fn new(device: &'static Device) -> PrivatePool {
        PrivatePool { device, free: Mutex::default() }
    }

    /// A block of at least `bytes`, or what stood in the way.
    pub fn alloc(&self, bytes: usize) -> Result<Block, MemoryStats> {
        let (_, size) = size_class(bytes);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.iter().rposition(|block| block.size == size) {
            Some(found) => Ok(free.swap_remove(found)),
            None => self.device.allocator.alloc(bytes),
        }
    }

    pub fn free(&self, block: Block) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }
}

impl Drop for PrivatePool {
    /// Commands that use the blocks hold the recording, so none is left.
    fn drop(&mut self) {
        let free = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        free.into_iter().for_each(|block| self.device.allocator.free(block));
    }
}
