//! One NVIDIA GPU: work is submitted in order and runs later; a second thread waits for it and settles what it did.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use elm_core::{ErrorCode, Kernel, KernelCall, KernelError, OpError, View};
use elm_cuda::{Event, Gpu, Graph, Words, enter};

use super::{Backend, Failure, Memory};
use crate::alloc::{Allocator, Block};
use crate::cell::Cell;
use crate::command::{Cells, Read, Work};
use crate::device::Device;
use crate::recording::Program;

/// Host bytes that are copied to the device at once; larger tensors go in pieces.
const PIECE: usize = 32 << 20;
/// Below so many free words a look at those in use is due.
const FEW_WORDS: usize = 1024;

/// A device that is opened when it is first used.
pub struct Cuda {
    opening: Arc<Opening>,
}

/// The device, or why it could not be opened.
struct Opening {
    ordinal: usize,
    failure: Arc<Failure>,
    opened: OnceLock<Result<Opened, OpError>>,
}

struct Opened {
    gpu: &'static Gpu,
    /// Page-locked host memory.
    staging: Arc<Allocator>,
    log: Arc<Mutex<Log>>,
    marks: Mutex<Sender<Mark>>,
}

/// Commands since the first whose kernels may still report something.
#[derive(Default)]
struct Log {
    entries: VecDeque<Entry>,
    /// Number of the next entry.
    next: u64,
    /// Words of a graph that has just been submitted.
    of_graph: Option<Arc<Words>>,
}

struct Entry {
    op: &'static str,
    words: Vec<Arc<Words>>,
    reads: Cells,
    writes: Cells,
}

/// A place in the device's work, and what to do there.
struct Mark {
    event: Result<Event, KernelError>,
    /// Entries of the log before this number have run by then.
    number: u64,
    /// A copy of all words as of then, if any were in use.
    words: Option<Block>,
    then: Box<dyn FnOnce() + Send>,
}

/// Memory of the card.
pub struct Card(Arc<Opening>);

impl Memory for Card {
    fn alloc(&self, size: usize) -> *mut u8 {
        let (Ok(opened), Ok(_visit)) = (self.0.get(), enter()) else { return std::ptr::null_mut() };
        opened.gpu.alloc(size)
    }

    unsafe fn free(&self, ptr: *mut u8, _: usize) {
        if let (Ok(opened), Ok(_visit)) = (self.0.get(), enter()) {
            // SAFETY: the caller's promise.
            unsafe { opened.gpu.free(ptr) };
        }
    }
}

struct PageLocked(&'static Gpu);

impl Memory for PageLocked {
    fn alloc(&self, size: usize) -> *mut u8 {
        let Ok(_visit) = enter() else { return std::ptr::null_mut() };
        self.0.alloc_host(size)
    }

    unsafe fn free(&self, ptr: *mut u8, _: usize) {
        if let Ok(_visit) = enter() {
            // SAFETY: the caller's promise.
            unsafe { self.0.free_host(ptr) };
        }
    }
}

impl Opening {
    fn get(&self) -> Result<&Opened, &OpError> {
        let open = || {
            let unavailable =
                |error: KernelError| OpError::new(ErrorCode::DeviceUnavailable, "device", error.message);
            let _visit = enter().map_err(unavailable)?;
            let gpu = Gpu::open(self.ordinal).map_err(unavailable)?;
            let gpu: &'static Gpu = Box::leak(Box::new(gpu));
            let staging = Arc::new(Allocator::new(usize::MAX / 2, Box::new(PageLocked(gpu))));
            let log = Arc::default();
            let (send, receive) = channel();
            Ok((Opened { gpu, staging, log, marks: Mutex::new(send) }, receive))
        };
        let opened = self.opened.get_or_init(|| {
            let (opened, receive) = open()?;
            let (gpu, log, staging) = (opened.gpu, Arc::clone(&opened.log), Arc::clone(&opened.staging));
            let failure = Arc::clone(&self.failure);
            let settle = move || Settle { gpu, log, staging, failure }.serve(&receive);
            let spawned = std::thread::Builder::new().name("openelm-settle".into()).spawn(settle);
            spawned.expect("the system grants one thread for the device");
            Ok(opened)
        });
        opened.as_ref()
    }
}

impl Cuda {
    /// Device `ordinal` of the driver, and its memory.
    pub fn new(ordinal: usize, failure: Arc<Failure>) -> (Cuda, Card) {
        let opening = Arc::new(Opening { ordinal, failure, opened: OnceLock::new() });
        (Cuda { opening: Arc::clone(&opening) }, Card(opening))
    }

    /// The open device. Commands only come after `ready`.
    fn opened(&self) -> Result<&Opened, KernelError> {
        self.opening.get().map_err(|error| KernelError { code: error.code, message: error.message.clone() })
    }
}

impl Opened {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `then` once all that was submitted has run and the log up to here is settled.
    fn mark(&self, then: Box<dyn FnOnce() + Send>) {
        let (number, in_use) = {
            let log = self.log();
            (log.next, log.entries.iter().any(|entry| !entry.words.is_empty()))
        };
        let Ok(_visit) = enter() else { return };
        let mut words = None;
        let mut event = Ok(());
        if in_use && let Ok(block) = self.staging.alloc(Gpu::WORDS_BYTES) {
            // SAFETY: the block is large enough and belongs to this mark until it is settled.
            event = unsafe { self.gpu.read_words(block.ptr) };
            words = Some(block);
        }
        let event = event.and_then(|()| self.gpu.record());
        let mark = Mark { event, number, words, then };
        // The thread at the other end only goes with the process.
        let _ = self.marks.lock().unwrap_or_else(PoisonError::into_inner).send(mark);
    }

    /// A piece of page-locked memory.
    fn stage(&self, bytes: usize) -> Result<Block, KernelError> {
        self.staging.alloc(bytes).map_err(|_| KernelError {
            code: ErrorCode::OutOfMemory,
            message: format!("the host has no {bytes} bytes of page-locked memory"),
        })
    }
}

impl Backend for Cuda {
    fn kernels(&self) -> &'static [&'static [Kernel]] {
        elm_cuda::ops::KERNELS
    }

    fn is_host(&self) -> bool {
        false
    }

    fn ready(&self) -> Result<(), OpError> {
        self.opening.get().map(|_| ()).map_err(Clone::clone)
    }

    fn memory_limit(&self) -> usize {
        self.opening.get().map_or(0, |opened| opened.gpu.limits.memory)
    }

    fn with_context(&self, body: &mut dyn FnMut(&dyn Any)) {
        if let (Ok(opened), Ok(_visit)) = (self.opening.get(), enter()) {
            opened.gpu.bind();
            body(&opened.gpu);
        }
    }

    fn copy(&self, from: &View, to: &View) -> Result<(), KernelError> {
        let opened = self.opened()?;
        let _visit = enter()?;
        elm_cuda::copy(opened.gpu, from, to)
    }

    fn write(&self, bytes: &[u8], to: *mut u8) -> Result<(), KernelError> {
        let opened = self.opened()?;
        let _visit = enter()?;
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            let block = opened.stage(piece.len())?;
            // SAFETY: the block is as long as the piece; it goes back once the copy has run. The storage was allocated for
            // all bytes.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), block.ptr, piece.len());
                opened.gpu.upload(block.ptr, to.wrapping_add(number * PIECE), piece.len())?;
            }
            let staging = Arc::clone(&opened.staging);
            opened.mark(Box::new(move || staging.free(block)));
        }
        Ok(())
    }

    fn read(&self, from: &View, cell: Arc<Cell>, read: Arc<Read>) {
        let start = || {
            let opened = self.opened()?;
            let _visit = enter()?;
            let block = opened.stage(from.bytes().max(1))?;
            // SAFETY: the view is row-major, the block as long; it is used after the copy has run.
            unsafe { opened.gpu.download(elm_cuda::address(from), block.ptr, from.bytes())? };
            Ok((opened, block))
        };
        match start() {
            Ok((opened, block)) => {
                let (staging, bytes) = (Arc::clone(&opened.staging), from.bytes());
                opened.mark(Box::new(move || {
                    // SAFETY: the copy into the block has run.
                    let values = unsafe { std::slice::from_raw_parts(block.ptr, bytes) }.to_vec();
                    staging.free(block);
                    read.finish(cell.error().map_or(Ok(values), |error| Err(Arc::clone(error))));
                }));
            }
            Err(KernelError { code, message }) => {
                read.finish(Err(Arc::new(OpError::new(code, "read", message))));
            }
        }
    }

    fn after_all(&self, then: Box<dyn FnOnce() + Send>) {
        match self.opening.opened.get() {
            Some(Ok(opened)) => opened.mark(then),
            // Never used, or not to be used: nothing was submitted.
            _ => then(),
        }
    }

    fn submitted(&self, op: &'static str, reads: Cells, writes: Cells) {
        let Ok(opened) = self.opening.get() else { return };
        let mut log = opened.log();
        let words: Vec<_> = opened.gpu.take_words().into_iter().chain(log.of_graph.take()).collect();
        // A lost device shows at the next mark, which must find whatever was written since.
        log.entries.push_back(Entry { op, words, reads, writes });
        log.next += 1;
        let long = log.entries.len().is_multiple_of(FEW_WORDS);
        drop(log);
        if long || opened.gpu.free_words() < FEW_WORDS {
            opened.mark(Box::new(|| ()));
        }
        while opened.gpu.free_words() < FEW_WORDS / 4 {
            let (send, receive) = channel::<()>();
            opened.mark(Box::new(move || drop(send)));
            // Ends with an error when the sender goes.
            let _ = receive.recv();
        }
    }

    fn program(&self, works: Vec<Work>) -> Box<dyn Program> {
        Box::new(Captured { works, graph: OnceLock::new(), opening: Arc::clone(&self.opening) })
    }

    fn range(&self, name: Option<&str>) {
        elm_cuda::range(name);
    }

    fn threads(&self) -> usize {
        1
    }

    fn set_threads(&self, _: usize) {}

    fn gpu(&self) -> Result<Option<&'static Gpu>, OpError> {
        self.opening.get().map(|opened| Some(opened.gpu)).map_err(Clone::clone)
    }
}

/// What waits for marks, in order.
struct Settle {
    gpu: &'static Gpu,
    log: Arc<Mutex<Log>>,
    staging: Arc<Allocator>,
    failure: Arc<Failure>,
}

impl Settle {
    fn serve(self, marks: &Receiver<Mark>) {
        while let Ok(Mark { event, number, words, then }) = marks.recv() {
            // Also while the device works, which leaving waits for anyway.
            let Ok(visit) = enter() else { return };
            let outcome = event.and_then(|event| event.wait(self.gpu));
            self.settle(number, outcome, words.as_ref());
            if let Some(block) = words {
                self.staging.free(block);
            }
            drop(visit);
            then();
        }
    }

    /// Finds the commands before `number` that failed, and poisons what they wrote and what was made from it.
    fn settle(&self, number: u64, outcome: Result<(), KernelError>, words: Option<&Block>) {
        let entries = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let first = log.next - log.entries.len() as u64;
            let count = usize::try_from(number.saturating_sub(first)).unwrap_or(0).min(log.entries.len());
            log.entries.drain(..count).collect::<Vec<_>>()
        };
        // SAFETY: the copy of the words has run; the block is as long and aligned.
        let seen: Option<&[u64]> =
            words.map(|block| unsafe { std::slice::from_raw_parts(block.ptr.cast(), Gpu::WORDS_BYTES / 8) });
        let mut cleared = Vec::new();
        for entry in entries {
            let poison = |error: &Arc<OpError>| entry.writes.iter().for_each(|cell| cell.poison(error));
            if let Some(error) = entry.reads.iter().find_map(|cell| cell.error()) {
                // What is written in place was changed from values that are not to be trusted.
                poison(error);
                continue;
            }
            let failed = outcome.as_ref().err().cloned().or_else(|| {
                let bad = entry.words.iter().find_map(|words| Some((words, words.failure(seen?)?)));
                bad.map(|(words, error)| {
                    cleared.push(Arc::clone(words));
                    error
                })
            });
            if let Some(KernelError { code, message }) = failed {
                let error = Arc::new(OpError::new(code, entry.op, message));
                self.failure.note(&error);
                poison(&error);
            }
        }
        cleared.iter().for_each(|words| words.clear());
    }
}

/// A list of work that becomes a graph when it first runs.
struct Captured {
    works: Vec<Work>,
    graph: OnceLock<(Graph, Option<Arc<Words>>)>,
    opening: Arc<Opening>,
}

// SAFETY: the pointers in it are addresses of device memory that only the stream follows, in order.
unsafe impl Send for Captured {}
// SAFETY: as above.
unsafe impl Sync for Captured {}

impl Program for Captured {
    fn run(&self, device: &Device) -> Result<(), Arc<OpError>> {
        let failed = |error: KernelError| Arc::new(OpError::new(error.code, "capture", error.message));
        let opened = self.opening.get().map_err(|error| Arc::new(error.clone()))?;
        let _visit = enter().map_err(failed)?;
        if self.graph.get().is_none() {
            let record = || run_in_order(&self.works, device, opened.gpu);
            let graph = opened.gpu.capture(record).map_err(failed)??;
            let _ = self.graph.set((graph, opened.gpu.take_words()));
        }
        let (graph, words) = self.graph.get().expect("it was just made");
        opened.log().of_graph = words.clone();
        opened.gpu.replay(graph).map_err(failed)
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        let graph = self.graph.take();
        match enter() {
            Ok(_visit) => drop(graph),
            // It went with the driver.
            Err(_) => std::mem::forget(graph),
        }
    }
}

/// Runs all works, those that have one kernel together with that.
fn run_in_order(works: &[Work], device: &Device, gpu: &'static Gpu) -> Result<(), Arc<OpError>> {
    let ops: Vec<&str> = works.iter().map(|work| work.op.name).collect();
    let calls: Vec<KernelCall> = works.iter().map(|work| work.call(&gpu)).collect();
    let may_fuse = may_fuse();
    let mut next = 0;
    while next < works.len() {
        // A work whose inputs are copied first reads what another one writes.
        let soon = works[next..].iter().take(elm_cuda::MOST_FUSED);
        let ready = soon.take_while(|work| work.copies.is_empty()).count();
        let fusion = match may_fuse {
            true => elm_cuda::fusion_of(&ops[next..next + ready], &calls[next..next + ready]),
            false => None,
        };
        if let Some(fusion) = fusion {
            let ran = fusion.run(&calls[next..next + ready]);
            ran.map_err(|error| works[next].failed(device, error))?;
            next += fusion.calls();
        } else {
            works[next].run(device)?;
            next += 1;
        }
    }
    Ok(())
}

/// `OPENELM_CUDA_FUSION=0`: every call of a recording has its own kernel, to see what fusing them gives.
fn may_fuse() -> bool {
    std::env::var("OPENELM_CUDA_FUSION").as_deref() != Ok("0")
}
