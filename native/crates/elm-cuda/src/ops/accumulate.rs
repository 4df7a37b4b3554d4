use elm_core::{Kernel, KernelCall};

use crate::lists;
use crate::view::Run;

pub static KERNELS: &[Kernel] = &[Kernel::new("accumulate", run).strided()];

/// The weight comes before the lists.
const FIXED: usize = 1;

fn run(call: &KernelCall) -> Run {
    let tensors = &call.inputs[FIXED..];
    let (Some(Some(into)), Some(Some(from))) = (tensors.first(), tensors.last()) else { return Ok(()) };
    lists::run::<2>(call, FIXED, "accumulate", "accumulate", &[into.dtype, from.dtype], &[])
}
