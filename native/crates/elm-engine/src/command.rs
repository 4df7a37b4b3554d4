use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use elm_core::{Attrs, ErrorCode, Kernel, KernelCall, KernelError, OpDef, OpError, View};
use smallvec::SmallVec;

use crate::cell::Cell;
use crate::device::Device;
use crate::recording::Replay;

/// One kernel with its memory. It holds addresses, not owners: see `alloc`.
pub struct Work {
    pub op: &'static OpDef,
    pub kernel: &'static Kernel,
    pub attrs: Attrs,
    pub inputs: SmallVec<[Option<View>; 4]>,
    pub outputs: SmallVec<[Option<View>; 2]>,
    /// Strided inputs that the kernel wants row-major: copied from, to.
    pub copies: Vec<(View, View)>,
    pub workspace: *mut u8,
}

/// What says whether storages can be trusted.
pub type Cells = SmallVec<[Arc<Cell>; 4]>;

/// Work that waits for its turn, with what decides then whether its inputs can be trusted.
pub struct KernelCommand {
    pub work: Work,
    pub reads: Cells,
    pub writes: Cells,
}

pub type ReadResult = Result<Vec<u8>, Arc<OpError>>;

/// A copy of a tensor on its way to the host.
pub struct Read {
    result: Mutex<Option<ReadResult>>,
    ready: Condvar,
    /// Told once, from the stream's thread.
    notify: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Read {
    pub fn new(notify: Option<Box<dyn Fn() + Send + Sync>>) -> Arc<Read> {
        Arc::new(Read { result: Mutex::new(None), ready: Condvar::new(), notify })
    }

    pub(crate) fn finish(&self, result: ReadResult) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.ready.notify_all();
        if let Some(notify) = &self.notify {
            notify();
        }
    }

    pub fn has_ended(&self) -> bool {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The bytes, once; `None` before they are there.
    pub fn take(&self) -> Option<ReadResult> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn wait(&self) -> ReadResult {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            result = self.ready.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

// Commands lie in the queue itself: memory that one thread takes and another gives back costs both more than a copy.
#[expect(clippy::large_enum_variant)]
pub enum Command {
    Kernel(KernelCommand),
    Replay(Box<Replay>),
    /// Host bytes into a row-major storage.
    Write {
        bytes: Vec<u8>,
        to: *mut u8,
        cell: Arc<Cell>,
    },
    /// A tensor to the host; one that is not row-major goes through `dense` where the host cannot reach it.
    Read {
        dense: Option<View>,
        from: View,
        cell: Arc<Cell>,
        read: Arc<Read>,
    },
    /// Ends a read without bytes; one that `reports` fails with the device's first error since the last such fence.
    Fence {
        read: Arc<Read>,
        reports: bool,
    },
    /// See [`Backend::range`](crate::backend::Backend::range).
    Range(Option<Box<str>>),
}

// SAFETY: the pointers are addresses of device memory that only the stream follows, in order.
unsafe impl Send for Command {}

impl Command {
    pub fn run(self, device: &Device) {
        match self {
            Command::Kernel(command) => command.run(device),
            Command::Replay(replay) => {
                device.backend.range(Some("replay"));
                replay.run(device);
                device.backend.range(None);
            }
            Command::Range(name) => device.backend.range(name.as_deref()),
            Command::Write { bytes, to, cell } => {
                if let Err(error) = device.backend.write(&bytes, to) {
                    let error = Arc::new(OpError::new(error.code, "tensor", error.message));
                    device.note_failure(&error);
                    cell.poison(&error);
                }
            }
            Command::Read { dense, from, cell, read } => {
                let copied = dense.as_ref().map_or(Ok(()), |dense| device.copy(&from, dense));
                match copied {
                    Ok(()) => device.backend.read(dense.as_ref().unwrap_or(&from), cell, read),
                    Err(error) => read.finish(Err(Arc::new(OpError::new(error.code, "read", error.message)))),
                }
            }
            Command::Fence { read, reports } => {
                let failure = device.failure();
                device.backend.after_all(Box::new(move || {
                    let failure = if reports { failure.take() } else { None };
                    read.finish(failure.map_or(Ok(Vec::new()), Err));
                }));
            }
        }
    }
}

impl KernelCommand {
    fn run(self, device: &Device) {
        let poison = |error: &Arc<OpError>| self.writes.iter().for_each(|cell| cell.poison(error));
        if let Some(error) = self.reads.iter().find_map(|cell| cell.error()) {
            // What is written in place keeps its old values; fresh outputs never got any.
            if !self.work.op.mutates() {
                poison(error);
            }
            return;
        }
        if let Err(error) = self.work.run(device) {
            poison(&error);
        }
        device.backend.submitted(self.work.op.name, self.reads, self.writes);
    }
}

impl Work {
    /// Work without its memory.
    #[inline]
    pub fn new(op: &'static OpDef, kernel: &'static Kernel, attrs: Attrs) -> Work {
        let (inputs, outputs) = (SmallVec::new(), SmallVec::new());
        Work { op, kernel, attrs, inputs, outputs, copies: Vec::new(), workspace: std::ptr::null_mut() }
    }

    /// Rough nanoseconds on one core.
    pub fn cost(&self) -> u64 {
        (self.kernel.cost)(&self.inputs, &self.outputs, &self.attrs)
    }

    /// Runs the kernel; a failure is noted for the next fence, and the caller poisons what would have been written.
    pub fn run(&self, device: &Device) -> Result<(), Arc<OpError>> {
        device.backend.range(Some(self.op.name));
        let outcome = self.compute(device);
        device.backend.range(None);
        outcome.map_err(|error| self.failed(device, error))
    }

    /// Notes why it failed for the next fence.
    pub fn failed(&self, device: &Device, error: KernelError) -> Arc<OpError> {
        let error = Arc::new(OpError::new(error.code, self.op.name, error.message));
        device.note_failure(&error);
        error
    }

    /// What its kernel gets.
    pub fn call<'a>(&'a self, context: &'a dyn Any) -> KernelCall<'a> {
        let Work { attrs, inputs, outputs, workspace, .. } = self;
        KernelCall { attrs, inputs, outputs, workspace: *workspace, context }
    }

    fn compute(&self, device: &Device) -> Result<(), KernelError> {
        let body = AssertUnwindSafe(|| {
            let mut outcome = self.copies.iter().try_for_each(|(from, to)| device.copy(from, to));
            if outcome.is_ok() {
                device.backend.with_context(&mut |context| {
                    outcome = (self.kernel.run)(&self.call(context));
                });
            }
            outcome
        });
        catch_unwind(body).unwrap_or_else(|panic| {
            Err(KernelError {
                code: ErrorCode::KernelFailed,
                message: format!("the kernel panicked: {}", text(&*panic)),
            })
        })
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
