//! From the views of a call to the arguments of a kernel.

use elm_core::{KernelCall, KernelError, View};

use crate::Gpu;

/// What kernels of this crate return.
pub type Run<T = ()> = Result<T, KernelError>;

/// The address of element `[0, 0, …]`.
pub fn address(view: &View) -> *mut u8 {
    view.base.wrapping_add(view.layout.offset * view.dtype.size())
}

/// The same of an optional view; null says that there is none.
pub fn optional(view: Option<&View>) -> *mut u8 {
    view.map_or(std::ptr::null_mut(), address)
}

/// Accessors that launchers read well with.
pub trait CallExt {
    fn gpu(&self) -> &'static Gpu;
    fn input(&self, position: usize) -> &View;
    fn output(&self, position: usize) -> &View;
    fn optional_input(&self, position: usize) -> Option<&View>;
    fn optional_output(&self, position: usize) -> Option<&View>;
}

impl CallExt for KernelCall<'_> {
    fn gpu(&self) -> &'static Gpu {
        self.context.downcast_ref::<&'static Gpu>().expect("a CUDA device hands its kernels a Gpu")
    }
    fn input(&self, position: usize) -> &View {
        self.inputs[position].as_ref().expect("the schema makes this input present")
    }
    fn output(&self, position: usize) -> &View {
        self.outputs[position].as_ref().expect("a public output is always wanted")
    }
    fn optional_input(&self, position: usize) -> Option<&View> {
        self.inputs.get(position).and_then(Option::as_ref)
    }
    fn optional_output(&self, position: usize) -> Option<&View> {
        self.outputs.get(position).and_then(Option::as_ref)
    }
}
