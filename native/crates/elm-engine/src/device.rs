use std::sync::{Arc, OnceLock};

use elm_core::{DType, ErrorCode, Kernel, KernelError, OpError, View};

use crate::alloc::{Allocator, MemoryStats};
use crate::backend::cpu::{Cpu, Host};
use crate::backend::cuda::Cuda;
use crate::backend::{Backend, Failure, Memory};
use crate::command::{Command, Read};
use crate::stream::Stream;

/// Position in the list of devices; `"meta"` comes after all of them.
pub type DeviceId = u32;

/// Shapes without storage.
pub const META: DeviceId = u32::MAX;

/// A place where kernels run in the order of the calls.
pub struct Device {
    pub id: DeviceId,
    pub name: String,
    pub(crate) allocator: Allocator,
    pub(crate) stream: Stream,
    pub(crate) backend: Box<dyn Backend>,
    /// By op index; an op without a kernel is an error that names it.
    kernels: Vec<Option<&'static Kernel>>,
    /// What a fence reports: the first command that failed since the last one.
    failure: Arc<Failure>,
}

/// The CPU, device 0, which is always there.
fn cpu() -> &'static Arc<Device> {
    static CPU: OnceLock<Arc<Device>> = OnceLock::new();
    CPU.get_or_init(|| Device::start(0, "cpu", Box::new(Cpu::default()), Box::new(Host), Arc::default()))
}

/// GPUs, devices 1 and up. Looking for them starts the driver, which programs for the CPU do without.
fn gpus() -> &'static [Arc<Device>] {
    static GPUS: OnceLock<Vec<Arc<Device>>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let open = |ordinal: usize| {
            let failure = Arc::<Failure>::default();
            let (backend, memory) = Cuda::new(ordinal, Arc::clone(&failure));
            let name = if ordinal == 0 { "cuda".into() } else { format!("cuda:{ordinal}") };
            Device::start(ordinal as DeviceId + 1, &name, Box::new(backend), Box::new(memory), failure)
        };
        (0..elm_cuda::probe().devices.len()).map(open).collect()
    })
}

/// All devices of the process.
pub fn devices() -> impl Iterator<Item = &'static Arc<Device>> {
    std::iter::once(cpu()).chain(gpus())
}

#[inline]
pub fn device(id: DeviceId) -> Option<&'static Arc<Device>> {
    match id {
        0 => Some(cpu()),
        META => None,
        id => gpus().get(id as usize - 1),
    }
}

pub fn device_names() -> Vec<String> {
    devices().map(|device| device.name.clone()).collect()
}

/// The device of a name such as `"cpu"`, `"cuda"`, `"cuda:1"` or `"meta"`.
pub fn find_device(name: &str) -> Result<DeviceId, OpError> {
    match name {
        "cpu" => return Ok(0),
        "meta" => return Ok(META),
        _ => (),
    }
    let wanted = if name == "cuda:0" { "cuda" } else { name };
    let found = devices().find(|device| device.name == wanted);
    found.map(|device| device.id).ok_or_else(|| {
        let names = device_names().join(", ");
        let why = match &elm_cuda::probe().missing {
            Some(missing) if name.starts_with("cuda") => format!(" ({missing})"),
            _ => String::new(),
        };
        let message = format!("there is no device \"{name}\"{why}; this machine has {names}, meta");
        OpError::new(ErrorCode::DeviceUnavailable, "device", message)
    })
}

impl Device {
    fn start(
        id: DeviceId,
        name: &str,
        backend: Box<dyn Backend>,
        memory: Box<dyn Memory>,
        failure: Arc<Failure>,
    ) -> Arc<Device> {
        let kernels = backend.kernels();
        let by_name = |name| kernels.iter().flat_map(|file| file.iter()).find(|k: &&Kernel| k.op == name);
        // A device that is opened late says no sooner how much it has: there an allocation that fails is the limit.
        let limit = if backend.is_host() { backend.memory_limit() } else { usize::MAX / 2 };
        let device = Arc::new(Device {
            id,
            name: name.into(),
            allocator: Allocator::new(limit, memory),
            stream: Stream::default(),
            kernels: elm_ops::OPS.iter().map(|op| by_name(op.name)).collect(),
            backend,
            failure,
        });
        Stream::start(&device);
        device
    }

    pub fn kernel(&self, op: usize) -> Option<&'static Kernel> {
        self.kernels[op]
    }

    pub(crate) fn copy(&self, from: &View, to: &View) -> Result<(), KernelError> {
        self.backend.copy(from, to)
    }

    /// Major and minor number of what a GPU can do; `None` for other devices, and for one that cannot be opened.
    pub fn capability(&self) -> Option<(u32, u32)> {
        self.backend.gpu().ok().flatten().map(|gpu| gpu.limits.capability)
    }

    pub fn threads(&self) -> usize {
        self.backend.threads()
    }

    /// Replaces the pool of threads, on a device that has one.
    pub fn set_threads(&self, threads: usize) {
        self.backend.set_threads(threads);
    }

    /// Blocks until all that was enqueued has run.
    pub fn synchronize(&self) {
        self.stream.wait_all();
        let (send, receive) = std::sync::mpsc::channel::<()>();
        self.backend.after_all(Box::new(move || drop(send)));
        // Ends with an error when the sender goes.
        let _ = receive.recv();
    }

    /// Ends when all that was enqueued before it has.
    ///
    /// One that `reports` fails with the first error since the last such fence; the others only wait, and leave errors
    /// to whoever reads what failed.
    pub fn fence(&self, reports: bool, notify: Option<Box<dyn Fn() + Send + Sync>>) -> Arc<Read> {
        let read = Read::new(notify);
        self.stream.enqueue(Command::Fence { read: Arc::clone(&read), reports });
        read
    }

    /// Begins a range that profilers show around the calls that follow, or ends the last one; nothing on the CPU.
    pub fn range(&self, name: Option<&str>) {
        if !self.backend.is_host() {
            self.stream.enqueue(Command::Range(name.map(Into::into)));
        }
    }

    pub(crate) fn failure(&self) -> Arc<Failure> {
        Arc::clone(&self.failure)
    }

    pub(crate) fn note_failure(&self, error: &Arc<OpError>) {
        self.failure.note(error);
    }

    pub fn pending(&self) -> u64 {
        self.stream.pending()
    }

    pub fn stalls(&self) -> u64 {
        self.stream.stalls()
    }

    pub fn memory(&self) -> MemoryStats {
        let stats = self.allocator.stats();
        MemoryStats { limit: self.backend.memory_limit(), ..stats }
    }

    /// Gives cached memory back to the system.
    pub fn trim(&self) {
        self.synchronize();
        self.allocator.trim();
    }

    pub fn same(&self, other: &Device) -> bool {
        self.id == other.id
    }
}

/// Bytes of a row-major tensor, or `None` past what an address can reach.
pub fn byte_size(dtype: DType, shape: &[usize]) -> Option<usize> {
    let elements = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
    elements.checked_mul(dtype.size()).filter(|&bytes| bytes <= isize::MAX as usize / 2)
}
