use std::cell::Cell;
use std::sync::{Mutex, OnceLock};

use crate::blas::Blas;
use crate::driver::{Result, check, sys};
use crate::failure::Ledger;
use crate::function::Functions;
use crate::gate::{before_the_driver_goes, keep_watch};

/// One device with one stream of work.
///
/// Kernels, copies and graphs are submitted from one thread at a time, in the order in which they run; memory may be
/// asked for and events waited for from any thread.
pub struct Gpu {
    pub ordinal: usize,
    pub limits: Limits,
    context: sys::CUcontext,
    pub(crate) stream: sys::CUstream,
    pub(crate) functions: Functions,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) blas: OnceLock<Result<Blas>>,
    /// [`COUNTERS`] numbers of 32 bits in device memory. They are 0 before and after every kernel: one that counts how many
    /// of its blocks are done leaves them so.
    pub(crate) counters: *mut u8,
}

/// How many counters a kernel may use.
pub(crate) const COUNTERS: usize = 1 << 16;

/// What kernels want to know of the chip.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub multiprocessors: u32,
    /// Bytes of shared memory that one block may have when it asks.
    pub shared: u32,
    /// Major and minor number, such as (9, 0) for Hopper.
    pub capability: (u32, u32),
    /// Bytes of the card.
    pub memory: usize,
}

// SAFETY: the driver's handles may be used from any thread that has bound the context; mutable state has locks.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

thread_local! {
    /// The context that this thread has bound.
    static BOUND: Cell<usize> = const { Cell::new(0) };
}

impl Gpu {
    /// Opens device `ordinal` of those that [`probe`](crate::probe) counted.
    pub fn open(ordinal: usize) -> Result<Gpu> {
        let (mut device, mut context, mut stream) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the probe found the driver and started it; every call writes what it is given a pointer to.
        unsafe {
            check(sys::cuDeviceGet(&raw mut device, ordinal as i32), "to find the device")?;
            let retained = sys::cuDevicePrimaryCtxRetain(&raw mut context, device);
            check(retained, "to make a context")?;
            check(sys::cuCtxSetCurrent(context), "to bind the context")?;
            let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
            check(sys::cuStreamCreate(&raw mut stream, flags), "to make a stream")?;
        }
        keep_watch(context, stream);
        before_the_driver_goes();
        let mut counters = 0;
        // Cleared here and not at the first use, which may be recorded.
        // SAFETY: writes one address, then fills the memory that it leads to.
        unsafe {
            check(sys::cuMemAlloc_v2(&raw mut counters, COUNTERS * 4), "to allocate counters")?;
            check(sys::cuMemsetD32Async(counters, 0, COUNTERS, stream), "to clear counters")?;
            check(sys::cuStreamSynchronize(stream), "to clear counters")?;
        }
        Ok(Gpu {
            ordinal,
            limits: Limits::of(device)?,
            context,
            stream,
            functions: Functions::default(),
            ledger: Mutex::default(),
            blas: OnceLock::new(),
            counters: counters as *mut u8,
        })
    }

    /// Makes the device the one that driver calls of this thread mean.
    pub fn bind(&self) {
        if BOUND.get() == self.context as usize {
            return;
        }
        // SAFETY: the context lives as long as the process.
        let status = unsafe { sys::cuCtxSetCurrent(self.context) };
        if status == sys::CUresult::CUDA_SUCCESS {
            BOUND.set(self.context as usize);
        }
    }

    /// Blocks until all that was submitted has run.
    pub fn wait(&self) -> Result<()> {
        self.bind();
        // SAFETY: the stream lives as long as the device.
        check(unsafe { sys::cuStreamSynchronize(self.stream) }, "to wait for the device")
    }

    pub(crate) fn blas(&self) -> Result<&Blas> {
        let open = || {
            let blas = Blas::open(self);
            before_the_driver_goes();
            blas
        };
        self.blas.get_or_init(open).as_ref().map_err(Clone::clone)
    }
}

impl Limits {
    fn of(device: sys::CUdevice) -> Result<Limits> {
        use sys::CUdevice_attribute_enum as Attribute;
        let read = |attribute| {
            let mut value = 0;
            // SAFETY: writes one number.
            let status = unsafe { sys::cuDeviceGetAttribute(&raw mut value, attribute, device) };
            check(status, "to ask for the device's limits").map(|()| value as u32)
        };
        let mut memory = 0;
        // SAFETY: writes one number.
        let status = unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory, device) };
        check(status, "to ask for the device's memory")?;
        Ok(Limits {
            multiprocessors: read(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared: read(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            capability: (
                read(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                read(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            memory,
        })
    }
}
