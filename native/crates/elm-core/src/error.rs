use std::fmt;

use crate::TensorSpec;

/// What went wrong, as callers match it. The TypeScript union `ErrorCode` holds the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    ShapeMismatch,
    DtypeMismatch,
    DeviceMismatch,
    InvalidArgument,
    IndexOutOfRange,
    UnknownOp,
    NoKernel,
    KernelFailed,
    InUseByTape,
    OverlappingWrite,
    Disposed,
    OutOfMemory,
    Capture,
    DeviceLost,
    DeviceUnavailable,
    Format,
    File,
    Internal,
}

impl ErrorCode {
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::ShapeMismatch => "SHAPE_MISMATCH",
            ErrorCode::DtypeMismatch => "DTYPE_MISMATCH",
            ErrorCode::DeviceMismatch => "DEVICE_MISMATCH",
            ErrorCode::InvalidArgument => "INVALID_ARGUMENT",
            ErrorCode::IndexOutOfRange => "INDEX_OUT_OF_RANGE",
            ErrorCode::UnknownOp => "UNKNOWN_OP",
            ErrorCode::NoKernel => "NO_KERNEL",
            ErrorCode::KernelFailed => "KERNEL_FAILED",
            ErrorCode::InUseByTape => "IN_USE_BY_TAPE",
            ErrorCode::OverlappingWrite => "OVERLAPPING_WRITE",
            ErrorCode::Disposed => "DISPOSED",
            ErrorCode::OutOfMemory => "OUT_OF_MEMORY",
            ErrorCode::Capture => "CAPTURE",
            ErrorCode::DeviceLost => "DEVICE_LOST",
            ErrorCode::DeviceUnavailable => "DEVICE_UNAVAILABLE",
            ErrorCode::Format => "FORMAT",
            ErrorCode::File => "FILE",
            ErrorCode::Internal => "INTERNAL",
        }
    }
}

/// A call that cannot run, or ran and failed.
#[derive(Clone, Debug)]
pub struct OpError {
    pub code: ErrorCode,
    pub op: &'static str,
    pub message: String,
    pub inputs: Vec<(&'static str, TensorSpec)>,
}

impl OpError {
    pub fn new(code: ErrorCode, op: &'static str, message: impl Into<String>) -> OpError {
        OpError { code, op, message: message.into(), inputs: Vec::new() }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.code.as_str(), self.op, self.message)?;
        self.inputs.iter().try_for_each(|(name, spec)| write!(f, "\n  {name:<8}{spec:?}"))
    }
}

impl std::error::Error for OpError {}
