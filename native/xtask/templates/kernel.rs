use elm_core::{ErrorCode, Kernel, KernelCall, KernelError};

pub static KERNELS: &[Kernel] = &[Kernel::new("op_name", run)];

fn run(_call: &KernelCall) -> Result<(), KernelError> {
    let message = "write the kernel: native/crates/elm-cpu/src/ops/op_name.rs".into();
    Err(KernelError { code: ErrorCode::KernelFailed, message })
}
