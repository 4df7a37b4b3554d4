use std::any::Any;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use elm_core::{DType, ErrorCode, Kernel, Layout, OpError, View};
use elm_cpu::Pool;

use crate::alloc::{Allocator, MemoryStats};
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
    /// By op index; an op without a kernel is an error that names it.
    kernels: Vec<Option<&'static Kernel>>,
    pool: RwLock<Pool>,
    /// What a fence reports: the first command that failed since the last one.
    failure: Mutex<Option<Arc<OpError>>>,
}

/// All devices of the process; the first is the CPU.
pub fn devices() -> &'static [Arc<Device>] {
    static DEVICES: OnceLock<Vec<Arc<Device>>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let device = Arc::new(Device::cpu(0));
        Stream::start(&device);
        vec![device]
    })
}

pub fn device(id: DeviceId) -> Option<&'static Arc<Device>> {
    devices().get(id as usize)
}

pub fn device_names() -> Vec<String> {
    devices().iter().map(|device| device.name.clone()).collect()
}

/// The device of a name such as `"cpu"` or `"meta"`.
pub fn find_device(name: &str) -> Result<DeviceId, OpError> {
    if name == "meta" {
        return Ok(META);
    }
    let found = devices().iter().find(|device| device.name == name);
    found.map(|device| device.id).ok_or_else(|| {
        let names = device_names().join(", ");
        let message = format!("there is no device \"{name}\"; this machine has {names}, meta");
        OpError::new(ErrorCode::DeviceUnavailable, "device", message)
    })
}

impl Device {
    fn cpu(id: DeviceId) -> Device {
        let by_name =
            |name| elm_cpu::ops::KERNELS.iter().flat_map(|file| file.iter()).find(|k: &&Kernel| k.op == name);
        Device {
            id,
            name: "cpu".into(),
            allocator: Allocator::new(memory_limit()),
            stream: Stream::default(),
            kernels: elm_ops::OPS.iter().map(|op| by_name(op.name)).collect(),
            pool: RwLock::new(Pool::new(default_threads())),
            failure: Mutex::new(None),
        }
    }

    pub fn kernel(&self, op: usize) -> Option<&'static Kernel> {
        self.kernels[op]
    }

    /// Hands `body` what the device's kernels need beside their memory.
    pub(crate) fn with_context<R>(&self, body: impl FnOnce(&dyn Any) -> R) -> R {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        body(&*pool)
    }

    pub(crate) fn copy(&self, from: &View, to: &View) {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        elm_cpu::copy(&pool, from, to);
    }

    /// The elements of a view in row-major order. Only the stream may call it.
    ///
    /// A broadcast view has more elements than its storage: reading one may ask for more than there is.
    pub(crate) fn read_view(&self, from: &View) -> Result<Vec<u8>, OpError> {
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(from.bytes()).is_err() {
            let message =
                format!("{}{:?} takes {} bytes on the host", from.dtype, from.shape(), from.bytes());
            return Err(OpError::new(ErrorCode::OutOfMemory, "read", message));
        }
        bytes.resize(from.bytes(), 0u8);
        let to =
            View { base: bytes.as_mut_ptr(), dtype: from.dtype, layout: Layout::contiguous(from.shape()) };
        if from.elements() > 0 {
            self.copy(from, &to);
        }
        Ok(bytes)
    }

    pub fn threads(&self) -> usize {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).threads()
    }

    /// Replaces the pool; running kernels finish first.
    pub fn set_threads(&self, threads: usize) {
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = Pool::new(threads);
    }

    pub fn synchronize(&self) {
        self.stream.wait_all();
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

    pub(crate) fn note_failure(&self, error: &Arc<OpError>) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::clone(error));
    }

    pub(crate) fn take_failure(&self) -> Option<Arc<OpError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn pending(&self) -> u64 {
        self.stream.pending()
    }

    pub fn stalls(&self) -> u64 {
        self.stream.stalls()
    }

    pub fn memory(&self) -> MemoryStats {
        self.allocator.stats()
    }

    /// Gives cached memory back to the system.
    pub fn trim(&self) {
        self.stream.wait_all();
        self.allocator.trim();
    }

    pub fn same(&self, other: &Device) -> bool {
        self.id == other.id
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

/// Bytes of a row-major tensor, or `None` past what an address can reach.
pub fn byte_size(dtype: DType, shape: &[usize]) -> Option<usize> {
    let elements = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
    elements.checked_mul(dtype.size()).filter(|&bytes| bytes <= isize::MAX as usize / 2)
}
