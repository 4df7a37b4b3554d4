//! Device memory, page-locked host memory, copies between them, and events.

use std::ffi::c_void;

use crate::Gpu;
use crate::driver::{Result, check, sys};

fn address(ptr: *mut u8) -> sys::CUdeviceptr {
    ptr as sys::CUdeviceptr
}

impl Gpu {
    /// `size` bytes on the device, or null.
    pub fn alloc(&self, size: usize) -> *mut u8 {
        self.bind();
        let mut ptr = 0;
        // SAFETY: writes one address.
        let status = unsafe { sys::cuMemAlloc_v2(&raw mut ptr, size) };
        if status == sys::CUresult::CUDA_SUCCESS { ptr as *mut u8 } else { std::ptr::null_mut() }
    }

    /// Gives a block back; waits for work that may use it.
    ///
    /// # Safety
    /// `ptr` came from [`Gpu::alloc`] and is used no more.
    pub unsafe fn free(&self, ptr: *mut u8) {
        self.bind();
        // SAFETY: the caller's promise. A device that is lost has lost its memory too.
        unsafe { sys::cuMemFree_v2(address(ptr)) };
    }

    /// `size` bytes on the host that the device copies from and to while the host does other things, or null.
    pub fn alloc_host(&self, size: usize) -> *mut u8 {
        self.bind();
        let mut ptr: *mut c_void = std::ptr::null_mut();
        // SAFETY: writes one address.
        let status = unsafe { sys::cuMemHostAlloc(&raw mut ptr, size, 0) };
        if status == sys::CUresult::CUDA_SUCCESS { ptr.cast() } else { std::ptr::null_mut() }
    }

    /// # Safety
    /// `ptr` came from [`Gpu::alloc_host`] and is used no more.
    pub unsafe fn free_host(&self, ptr: *mut u8) {
        self.bind();
        // SAFETY: the caller's promise.
        unsafe { sys::cuMemFreeHost(ptr.cast()) };
    }

    /// Submits a copy of `bytes` from page-locked host memory.
    ///
    /// # Safety
    /// Both lie in live memory, and nobody writes to `from` before the copy has run.
    pub unsafe fn upload(&self, from: *const u8, to: *mut u8, bytes: usize) -> Result<()> {
        self.bind();
        // SAFETY: the caller's promise.
        let status = unsafe { sys::cuMemcpyHtoDAsync_v2(address(to), from.cast(), bytes, self.stream) };
        check(status, "to copy to the device")
    }

    /// Submits a copy of `bytes` into page-locked host memory.
    ///
    /// # Safety
    /// Both lie in live memory, and nobody uses `to` before the copy has run.
    pub unsafe fn download(&self, from: *const u8, to: *mut u8, bytes: usize) -> Result<()> {
        self.bind();
        // SAFETY: the caller's promise.
        let status =
            unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), address(from.cast_mut()), bytes, self.stream) };
        check(status, "to copy to the host")
    }

    /// Submits a copy of `bytes` on the device. The two do not overlap.
    ///
    /// # Safety
    /// Both lie in live device memory.
    pub(crate) unsafe fn copy_bytes(&self, from: *const u8, to: *mut u8, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        let status =
            unsafe { sys::cuMemcpyDtoDAsync_v2(address(to), address(from.cast_mut()), bytes, self.stream) };
        check(status, "to copy on the device")
    }

    /// Submits a fill of `bytes` bytes with one value.
    ///
    /// # Safety
    /// They lie in live device memory.
    pub(crate) unsafe fn fill_bytes(&self, to: *mut u8, value: u8, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        check(unsafe { sys::cuMemsetD8Async(address(to), value, bytes, self.stream) }, "to fill memory")
    }

    /// A mark behind all that was submitted so far.
    pub fn record(&self) -> Result<Event> {
        self.bind();
        let mut event = std::ptr::null_mut();
        // Waiting threads sleep: the processor's cores are for JavaScript and for the thread that submits.
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32
            | sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC as u32;
        // SAFETY: writes one handle, then uses it.
        unsafe {
            check(sys::cuEventCreate(&raw mut event, flags), "to make an event")?;
            let event = Event(event);
            check(sys::cuEventRecord(event.0, self.stream), "to record an event")?;
            Ok(event)
        }
    }
}

/// A place in the device's order of work.
pub struct Event(sys::CUevent);

// SAFETY: a handle of the driver, which may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    /// Blocks until the device has come this far.
    pub fn wait(&self, gpu: &Gpu) -> Result<()> {
        gpu.bind();
        // SAFETY: the event lives.
        check(unsafe { sys::cuEventSynchronize(self.0) }, "the device failed")
    }

    pub fn has_passed(&self, gpu: &Gpu) -> bool {
        gpu.bind();
        // SAFETY: the event lives.
        unsafe { sys::cuEventQuery(self.0) == sys::CUresult::CUDA_SUCCESS }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the last use of the handle.
        unsafe { sys::cuEventDestroy_v2(self.0) };
    }
}
