use elm_core::{ErrorCode, KernelError};

use super::sys::{self, CUresult};

pub type Result<T> = std::result::Result<T, KernelError>;

/// The status of a driver call as a value; `what` was tried.
pub fn check(status: CUresult, what: &str) -> Result<()> {
    match status {
        CUresult::CUDA_SUCCESS => Ok(()),
        status => {
            Err(KernelError { code: code_of(status), message: format!("{what}: {}", describe(status)) })
        }
    }
}

/// After some errors every later call of the process fails on this device.
fn code_of(status: CUresult) -> ErrorCode {
    use CUresult::{
        CUDA_ERROR_ASSERT, CUDA_ERROR_ECC_UNCORRECTABLE, CUDA_ERROR_HARDWARE_STACK_ERROR,
        CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_ILLEGAL_INSTRUCTION, CUDA_ERROR_INVALID_PC,
        CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_LAUNCH_TIMEOUT, CUDA_ERROR_MISALIGNED_ADDRESS,
        CUDA_ERROR_OUT_OF_MEMORY,
    };
    match status {
        CUDA_ERROR_OUT_OF_MEMORY => ErrorCode::OutOfMemory,
        CUDA_ERROR_ASSERT
        | CUDA_ERROR_ECC_UNCORRECTABLE
        | CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUDA_ERROR_ILLEGAL_ADDRESS
        | CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUDA_ERROR_INVALID_PC
        | CUDA_ERROR_LAUNCH_FAILED
        | CUDA_ERROR_LAUNCH_TIMEOUT
        | CUDA_ERROR_MISALIGNED_ADDRESS => ErrorCode::DeviceLost,
        _ => ErrorCode::KernelFailed,
    }
}

fn describe(status: CUresult) -> String {
    let mut text = std::ptr::null();
    // SAFETY: the driver is open, or there would be no status; it writes one pointer to a static text.
    let known = unsafe { sys::cuGetErrorString(status, &raw mut text) };
    if known != CUresult::CUDA_SUCCESS || text.is_null() {
        return format!("{status:?}");
    }
    // SAFETY: a text of the driver's that ends with a zero and stays.
    let text = unsafe { std::ffi::CStr::from_ptr(text) };
    format!("{} ({status:?})", text.to_string_lossy())
}
