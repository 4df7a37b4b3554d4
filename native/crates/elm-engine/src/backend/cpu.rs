use std::alloc::{Layout as Size, alloc, dealloc};
use std::any::Any;
use std::sync::{Arc, PoisonError, RwLock};

use elm_core::{ErrorCode, Kernel, KernelError, Layout, OpError, View};
use elm_cpu::Pool;

use super::{Backend, Memory};
use crate::alloc::ALIGN;
use crate::cell::Cell;
use crate::command::{Cells, Read, Work};
use crate::device::Device;
use crate::recording::Program;

/// Blocks from here on lie on huge pages where the system has them: walks with long steps otherwise miss the table
/// of pages at every element, and no prefetch of the processor crosses the end of a small page.
const HUGE_PAGE: usize = 2 << 20;

/// Memory of the process.
pub struct Host;

fn size_of_block(size: usize) -> Size {
    let align = if size >= HUGE_PAGE { HUGE_PAGE } else { ALIGN };
    Size::from_size_align(size, align).expect("size classes stay far below the address space")
}

impl Memory for Host {
    fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: size classes are never zero.
        let ptr = unsafe { alloc(size_of_block(size)) };
        #[cfg(target_os = "linux")]
        if size >= HUGE_PAGE && !ptr.is_null() {
            // SAFETY: the block was just allocated and is aligned to a page. Advice that is refused changes nothing.
            unsafe { libc::madvise(ptr.cast(), size, libc::MADV_HUGEPAGE) };
        }
        ptr
    }

    unsafe fn free(&self, ptr: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(ptr, size_of_block(size)) };
    }
}

/// The processor: a pool of threads.
pub struct Cpu {
    pool: RwLock<Pool>,
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu { pool: RwLock::new(Pool::new(default_threads())) }
    }
}

impl Backend for Cpu {
    fn kernels(&self) -> &'static [&'static [Kernel]] {
        elm_cpu::ops::KERNELS
    }

    fn is_host(&self) -> bool {
        true
    }

    fn ready(&self) -> Result<(), OpError> {
        Ok(())
    }

    fn memory_limit(&self) -> usize {
        memory_limit()
    }

    fn with_context(&self, body: &mut dyn FnMut(&dyn Any)) {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        body(&*pool);
    }

    fn copy(&self, from: &View, to: &View) -> Result<(), KernelError> {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        elm_cpu::copy(&pool, from, to);
        Ok(())
    }

    fn write(&self, bytes: &[u8], to: *mut u8) -> Result<(), KernelError> {
        // SAFETY: the storage was allocated for these bytes, and the stream's order keeps others away.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    fn read(&self, from: &View, cell: Arc<Cell>, read: Arc<Read>) {
        read.finish(match cell.error() {
            Some(error) => Err(Arc::clone(error)),
            None => self.read_view(from).map_err(Arc::new),
        });
    }

    fn after_all(&self, then: Box<dyn FnOnce() + Send>) {
        then();
    }

    fn submitted(&self, _: &'static str, _: Cells, _: Cells) {}

    fn program(&self, works: Vec<Work>) -> Box<dyn Program> {
        Box::new(List(works))
    }

    fn threads(&self) -> usize {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).threads()
    }

    /// Running kernels finish first.
    fn set_threads(&self, threads: usize) {
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = Pool::new(threads);
    }
}

impl Cpu {
    /// A broadcast view has more elements than its storage: reading one may ask for more than there is.
    fn read_view(&self, from: &View) -> Result<Vec<u8>, OpError> {
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(from.bytes()).is_err() {
            let message =
                format!("{}{:?} takes {} bytes on the host", from.dtype, from.shape(), from.bytes());
            return Err(OpError::new(ErrorCode::OutOfMemory, "read", message));
        }
        bytes.resize(from.bytes(), 0u8);
        let to =
            View { base: bytes.as_mut_ptr(), dtype: from.dtype, layout: Layout::contiguous(from.shape()) };
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        if from.elements() > 0 {
            elm_cpu::copy(&pool, from, &to);
        }
        Ok(bytes)
    }
}

/// A recorded list of work as it is.
struct List(Vec<Work>);

// SAFETY: the pointers in it are addresses of device memory that only the stream follows, in order.
unsafe impl Send for List {}
// SAFETY: as above.
unsafe impl Sync for List {}

impl Program for List {
    fn run(&self, device: &Device) -> Result<(), Arc<OpError>> {
        self.0.iter().try_for_each(|work| work.run(device))
    }
}

/// `OPENELM_THREADS`, else what affinity and cgroup leave of the cores.
fn default_threads() -> usize {
    let asked = std::env::var("OPENELM_THREADS").ok().and_then(|v| v.parse().ok()).filter(|&n| n > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// `OPENELM_MEMORY_LIMIT` in bytes, else what the container or the machine has.
///
/// The system promises more memory than it has and kills whoever uses it; an error in time is kinder.
fn memory_limit() -> usize {
    let asked = std::env::var("OPENELM_MEMORY_LIMIT").ok().and_then(|v| v.parse().ok());
    let number = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    let cgroup =
        number("/sys/fs/cgroup/memory.max").or_else(|| number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
    });
    asked.unwrap_or_else(|| cgroup.into_iter().chain(machine).min().unwrap_or(usize::MAX / 2))
}
