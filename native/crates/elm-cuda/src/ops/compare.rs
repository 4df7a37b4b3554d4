//! Kernels of the ops `y[i] = a[i] ? b[i]` that give bool.

use elm_core::{Kernel, KernelCall};

use crate::map::map;
use crate::view::{CallExt, Run};

fn run(call: &KernelCall, name: &'static str) -> Run {
    map::<3>(call, "compare", name, &[call.input(0).dtype], &[])
}

pub static KERNELS: &[Kernel] = &[
    Kernel::new("eq", |call| run(call, "eq")).strided(),
    Kernel::new("ne", |call| run(call, "ne")).strided(),
    Kernel::new("lt", |call| run(call, "lt")).strided(),
    Kernel::new("le", |call| run(call, "le")).strided(),
    Kernel::new("gt", |call| run(call, "gt")).strided(),
    Kernel::new("ge", |call| run(call, "ge")).strided(),
];
