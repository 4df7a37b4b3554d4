use elm_core::{Kernel, KernelCall};

use crate::map::map;
use crate::view::{CallExt, Run};

/// Two operands of one dtype that broadcast.
fn run(call: &KernelCall, name: &'static str) -> Run {
    map::<3>(call, "binary", name, &[call.input(0).dtype], &[])
}

pub static KERNELS: &[Kernel] = &[
    Kernel::new("add", |call| run(call, "add")).strided(),
    Kernel::new("sub", |call| run(call, "sub")).strided(),
    Kernel::new("mul", |call| run(call, "mul")).strided(),
    Kernel::new("div", |call| run(call, "div")).strided(),
    Kernel::new("maximum", |call| run(call, "maximum")).strided(),
    Kernel::new("minimum", |call| run(call, "minimum")).strided(),
    Kernel::new("floor_divide", |call| run(call, "floor_divide")).strided(),
    Kernel::new("remainder", |call| run(call, "remainder")).strided(),
    Kernel::new("pow", |call| run(call, "pow")).strided(),
];
