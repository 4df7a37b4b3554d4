use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use elm_core::OpError;
use memmap2::MmapMut;

use crate::alloc::Block;
use crate::cell::Cell;
use crate::device::Device;
use crate::private_pool::PrivatePool;

enum Memory {
    Owned(Option<Block>),
    /// Of a recording, to which it goes back.
    Private {
        block: Option<Block>,
        pool: Arc<PrivatePool>,
    },
    /// A private mapping of a file: writes stay in this process.
    Mapped {
        _map: Arc<MmapMut>,
        ptr: *mut u8,
    },
}

/// Memory that tensors and their views share.
pub struct Storage {
    pub device: &'static Device,
    memory: Memory,
    pub bytes: usize,
    /// Shared with commands that wait. Most storages live and go without one.
    cell: OnceLock<Arc<Cell>>,
    /// Tapes that need the present values.
    pins: AtomicU32,
}

// SAFETY: the pointers are addresses; the stream's order decides who follows them.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    #[inline]
    fn new(device: &'static Device, memory: Memory, bytes: usize) -> Storage {
        Storage { device, memory, bytes, cell: OnceLock::new(), pins: AtomicU32::new(0) }
    }

    #[inline]
    pub fn owned(device: &'static Device, block: Block, bytes: usize) -> Storage {
        Storage::new(device, Memory::Owned(Some(block)), bytes)
    }

    #[inline]
    pub fn private(device: &'static Device, block: Block, bytes: usize, pool: &Arc<PrivatePool>) -> Storage {
        Storage::new(device, Memory::Private { block: Some(block), pool: Arc::clone(pool) }, bytes)
    }

    /// Whether it belongs to a recording.
    pub fn is_private(&self) -> bool {
        matches!(self.memory, Memory::Private { .. })
    }

    /// `bytes` of `map` from `start`, kept alive by this storage.
    pub fn mapped(device: &'static Device, map: &Arc<MmapMut>, start: usize, bytes: usize) -> Storage {
        assert!(start + bytes <= map.len(), "the range lies inside the mapping");
        let ptr = map.as_ptr().wrapping_add(start).cast_mut();
        Storage::new(device, Memory::Mapped { _map: Arc::clone(map), ptr }, bytes)
    }

    /// The cell that a waiting command looks at when its turn comes.
    pub fn cell(&self) -> &Arc<Cell> {
        self.cell.get_or_init(Arc::default)
    }

    /// Why the data cannot be trusted, if so.
    #[inline]
    pub fn error(&self) -> Option<&Arc<OpError>> {
        self.cell.get().and_then(|cell| cell.error())
    }

    #[inline]
    pub fn ptr(&self) -> *mut u8 {
        match &self.memory {
            Memory::Owned(block) | Memory::Private { block, .. } => {
                block.as_ref().map_or(std::ptr::null_mut(), |block| block.ptr)
            }
            Memory::Mapped { ptr, .. } => *ptr,
        }
    }

    pub fn pin(&self) {
        self.pins.fetch_add(1, Ordering::Relaxed);
    }

    pub fn unpin(&self) {
        self.pins.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        match &mut self.memory {
            Memory::Owned(block) => {
                if let Some(block) = block.take() {
                    self.device.allocator.free(block);
                }
            }
            Memory::Private { block, pool } => {
                if let Some(block) = block.take() {
                    pool.free(block);
                }
            }
            // Commands may still read a mapping: unlike a block it does not outlive its last handle.
            Memory::Mapped { .. } => self.device.synchronize(),
        }
    }
}
