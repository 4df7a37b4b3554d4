//! What each kind of device does in its own way.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use elm_core::{Kernel, KernelError, OpError, View};
use elm_cuda::Gpu;

use crate::cell::Cell;
use crate::command::{Cells, Read, Work};
use crate::recording::Program;

pub mod cpu;
pub mod cuda;

/// Where an allocator's blocks come from.
pub trait Memory: Send + Sync {
    /// `size` bytes, or null.
    fn alloc(&self, size: usize) -> *mut u8;

    /// # Safety
    /// `ptr` came from `alloc(size)`, and nobody uses it any more.
    unsafe fn free(&self, ptr: *mut u8, size: usize);
}

/// A kind of device. Only the stream's thread calls what submits work, in order; a host device has done it on return.
pub trait Backend: Send + Sync {
    fn kernels(&self) -> &'static [&'static [Kernel]];

    /// Whether the host can follow the device's addresses, and work has ended when its call returns.
    fn is_host(&self) -> bool;

    /// Opens the device, if that has not been done.
    fn ready(&self) -> Result<(), OpError>;

    /// Bytes that tensors may take.
    fn memory_limit(&self) -> usize;

    /// Hands `body` what kernels need beside their memory.
    fn with_context(&self, body: &mut dyn FnMut(&dyn Any));

    fn copy(&self, from: &View, to: &View) -> Result<(), KernelError>;

    /// Host bytes into a row-major storage.
    fn write(&self, bytes: &[u8], to: *mut u8) -> Result<(), KernelError>;

    /// Ends `read` with the elements of a view in row-major order, or with what `cell` says is wrong with them.
    fn read(&self, from: &View, cell: Arc<Cell>, read: Arc<Read>);

    /// Calls `then` when all that was submitted has run.
    fn after_all(&self, then: Box<dyn FnOnce() + Send>);

    /// Told of every command after it was submitted, so that failures which show later reach what depends on them.
    fn submitted(&self, op: &'static str, reads: Cells, writes: Cells);

    /// A recorded list of work in the form that the device runs best.
    fn program(&self, works: Vec<Work>) -> Box<dyn Program>;

    /// Begins a range that profilers of the device show around what is submitted, or ends the last one.
    fn range(&self, _name: Option<&str>) {}

    fn threads(&self) -> usize;

    fn set_threads(&self, threads: usize);

    /// The open GPU, on a device that is one.
    fn gpu(&self) -> Result<Option<&'static Gpu>, OpError> {
        Ok(None)
    }
}

/// The first command of a device that failed since somebody asked.
#[derive(Default)]
pub struct Failure(Mutex<Option<Arc<OpError>>>);

impl Failure {
    pub fn note(&self, error: &Arc<OpError>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::clone(error));
    }

    pub fn take(&self) -> Option<Arc<OpError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
