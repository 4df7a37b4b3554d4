//! Kernels of the ops on truth values and on bits. On truth values both families are the same functions.

use elm_core::{DType, Kernel, KernelCall};

use crate::map::map;
use crate::view::{CallExt, Run};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("logical_and", |call| run::<3>(call, "bitwise_and")).strided(),
    Kernel::new("logical_or", |call| run::<3>(call, "bitwise_or")).strided(),
    Kernel::new("logical_xor", |call| run::<3>(call, "bitwise_xor")).strided(),
    Kernel::new("logical_not", |call| run::<2>(call, "bitwise_not")).strided(),
    Kernel::new("bitwise_and", |call| run::<3>(call, "bitwise_and")).strided(),
    Kernel::new("bitwise_or", |call| run::<3>(call, "bitwise_or")).strided(),
    Kernel::new("bitwise_xor", |call| run::<3>(call, "bitwise_xor")).strided(),
    Kernel::new("bitwise_not", |call| run::<2>(call, "bitwise_not")).strided(),
];

fn run<const N: usize>(call: &KernelCall, name: &'static str) -> Run {
    // Bits have no sign.
    let dtype = match call.input(0).dtype {
        DType::I32 => DType::U32,
        DType::I8 => DType::U8,
        other => other,
    };
    map::<N>(call, "logical", name, &[dtype], &[])
}
