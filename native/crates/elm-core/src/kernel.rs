use std::any::Any;

use crate::{Attrs, DType, ErrorCode, Layout};

/// Memory of one tensor as a kernel gets it. Holding the pointer is safe; reading it is the kernel's affair.
#[derive(Clone, Debug)]
pub struct View {
    /// First byte of the storage on the device; element 0 lies at `layout.offset` elements from it.
    pub base: *mut u8,
    pub dtype: DType,
    pub layout: Layout,
}

// SAFETY is not at stake here: the pointer is plain data until a kernel dereferences it.
impl View {
    #[inline]
    pub fn elements(&self) -> usize {
        self.layout.elements()
    }
    #[inline]
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }
    #[inline]
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }
}

/// One call that passed the shape rule, with its memory.
pub struct KernelCall<'a> {
    pub attrs: &'a Attrs,
    /// Absent optionals are `None`; a mutated input is written through its view.
    pub inputs: &'a [Option<View>],
    /// Outputs that nobody wants are `None`.
    pub outputs: &'a [Option<View>],
    /// Scratch of the size that the kernel asked for, 64-byte aligned.
    pub workspace: *mut u8,
    /// What the device hands its kernels: a thread pool, a stream.
    pub context: &'a dyn Any,
}

/// Why a kernel gave up; the engine adds the op and poisons what it would have written.
#[derive(Clone, Debug)]
pub struct KernelError {
    pub code: ErrorCode,
    pub message: String,
}

impl KernelError {
    pub fn index(message: impl Into<String>) -> KernelError {
        KernelError { code: ErrorCode::IndexOutOfRange, message: message.into() }
    }
}

/// A function that computes an op on one device, for all signatures of the op.
pub struct Kernel {
    pub op: &'static str,
    pub run: fn(&KernelCall) -> Result<(), KernelError>,
    /// Reads inputs through their strides. Otherwise the engine copies them into row-major order first.
    pub strided: bool,
    /// Bytes of scratch.
    pub workspace: fn(inputs: &[Option<View>], outputs: &[Option<View>], attrs: &Attrs) -> usize,
    /// Rough nanoseconds on one core, to decide whether the caller runs it at once.
    pub cost: fn(inputs: &[Option<View>], outputs: &[Option<View>], attrs: &Attrs) -> u64,
}

impl Kernel {
    pub const fn new(op: &'static str, run: fn(&KernelCall) -> Result<(), KernelError>) -> Kernel {
        Kernel { op, run, strided: false, workspace: |_, _, _| 0, cost: memory_cost }
    }
    pub const fn strided(self) -> Kernel {
        Kernel { strided: true, ..self }
    }
    pub const fn with_workspace(
        self,
        workspace: fn(&[Option<View>], &[Option<View>], &Attrs) -> usize,
    ) -> Kernel {
        Kernel { workspace, ..self }
    }
    pub const fn with_cost(self, cost: fn(&[Option<View>], &[Option<View>], &Attrs) -> u64) -> Kernel {
        Kernel { cost, ..self }
    }
}

/// An elementwise kernel moves about 4 bytes a nanosecond on one core when data sits in a cache.
fn memory_cost(inputs: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    let bytes: usize = inputs.iter().chain(outputs).flatten().map(View::bytes).sum();
    (bytes / 4) as u64
}
