//! A caching allocator in stream order.
//!
//! Only the device's stream touches blocks, in the order of the calls. So a block that is given back when its
//! last handle goes can be handed out again at once: whatever still uses it was enqueued before.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::backend::Memory;

/// Kernels may load whole cache lines and vectors of 64 bytes.
pub const ALIGN: usize = 64;

/// A piece of device memory of one size class.
#[derive(Debug)]
pub struct Block {
    pub ptr: *mut u8,
    pub size: usize,
}

// SAFETY: a block is an address and a size; who may follow the address is decided by the stream's order.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

/// Bytes in use and kept, as `device.memory()` reports them.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStats {
    pub current: usize,
    pub peak: usize,
    pub cached: usize,
    pub limit: usize,
}

#[derive(Default)]
struct State {
    /// Free blocks by size class.
    bins: Vec<Vec<Block>>,
    stats: MemoryStats,
}

pub struct Allocator {
    state: Mutex<State>,
    memory: Box<dyn Memory>,
}

impl Allocator {
    pub fn new(limit: usize, memory: Box<dyn Memory>) -> Allocator {
        let stats = MemoryStats { limit, ..MemoryStats::default() };
        Allocator { state: Mutex::new(State { bins: Vec::new(), stats }), memory }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of at least `bytes`, or what stood in the way.
    pub fn alloc(&self, bytes: usize) -> Result<Block, MemoryStats> {
        let (class, size) = size_class(bytes);
        let mut state = self.lock();
        if let Some(block) = state.bins.get_mut(class).and_then(Vec::pop) {
            state.stats.cached -= size;
            state.take(size);
            return Ok(block);
        }
        if state.stats.current + state.stats.cached + size > state.stats.limit {
            state.trim(&*self.memory);
        }
        if state.stats.current + size > state.stats.limit {
            return Err(state.stats);
        }
        let mut ptr = self.memory.alloc(size);
        if ptr.is_null() {
            state.trim(&*self.memory);
            ptr = self.memory.alloc(size);
        }
        if ptr.is_null() {
            return Err(state.stats);
        }
        state.take(size);
        Ok(Block { ptr, size })
    }

    /// Takes a block back; it may be handed out again at once.
    pub fn free(&self, block: Block) {
        let (class, size) = size_class(block.size);
        debug_assert_eq!(size, block.size);
        let mut state = self.lock();
        state.stats.current -= size;
        state.stats.cached += size;
        if state.bins.len() <= class {
            state.bins.resize_with(class + 1, Vec::new);
        }
        state.bins[class].push(block);
    }

    /// Gives cached blocks back to the system. The stream must be idle: its commands may still use them.
    pub fn trim(&self) {
        self.lock().trim(&*self.memory);
    }

    pub fn stats(&self) -> MemoryStats {
        self.lock().stats
    }
}

impl State {
    fn take(&mut self, size: usize) {
        self.stats.current += size;
        self.stats.peak = self.stats.peak.max(self.stats.current);
    }

    fn trim(&mut self, memory: &dyn Memory) {
        for block in self.bins.iter_mut().flat_map(std::mem::take) {
            self.stats.cached -= block.size;
            // SAFETY: the block came from this memory with this size, and nobody holds it.
            unsafe { memory.free(block.ptr, block.size) };
        }
    }
}

/// Blocks from here on are rounded up less: there memory counts for more than how often a block can be used again.
const LARGE: usize = 1 << 20;

/// Index and size of the class for `bytes`: four steps between powers of two, sixteen for large ones, at least one cache
/// line.
pub fn size_class(bytes: usize) -> (usize, usize) {
    let bytes = bytes.max(ALIGN);
    let log = (usize::BITS - 1 - bytes.leading_zeros()) as usize;
    let base = 1usize << log;
    // A power of two, so that rounding up needs no division.
    let step = (base / if base >= LARGE { 16 } else { 4 }).max(ALIGN);
    let size = (bytes + step - 1) & !(step - 1);
    if size == base * 2 { ((log + 1) * 16, size) } else { (log * 16 + ((size - base) >> (log - 4)), size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Host;

    #[test]
    fn classes_hold_what_is_asked_and_waste_little() {
        let mut sizes = std::collections::HashMap::new();
        let large = (LARGE..40 * LARGE).step_by(99_991);
        for bytes in (1..200_000).step_by(7).chain(large).chain([1 << 30, (1 << 30) + 1]) {
            let (class, size) = size_class(bytes);
            let waste = if bytes >= LARGE { bytes / 16 } else { bytes / 4 + ALIGN };
            assert!(size >= bytes && size <= bytes + waste, "{bytes} -> {size}");
            assert_eq!(size_class(size), (class, size), "a class is its own class");
            assert_eq!(*sizes.entry(class).or_insert(size), size, "class {class} has one size");
        }
    }

    #[test]
    fn a_freed_block_comes_back_and_counts_stay_right() {
        let allocator = Allocator::new(1 << 20, Box::new(Host));
        let first = allocator.alloc(1000).unwrap();
        let address = first.ptr;
        allocator.free(first);
        let again = allocator.alloc(1000).unwrap();
        assert_eq!(again.ptr, address);
        let stats = allocator.stats();
        assert_eq!((stats.current, stats.cached), (again.size, 0));
        assert!(allocator.alloc(1 << 20).is_err());
        allocator.free(again);
        allocator.trim();
        assert_eq!(allocator.stats().cached, 0);
    }
}
