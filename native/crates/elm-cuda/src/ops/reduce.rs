use elm_core::{Attrs, DType, Kernel, KernelCall, View};

use crate::reduction::Reduction;
use crate::view::{CallExt, Run};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("sum", |call| run(call, ["sum", "sum_parts"], bytes(call))).with_workspace(workspace),
    Kernel::new("prod", |call| run(call, ["prod", "prod_parts"], bytes(call))).with_workspace(workspace),
    Kernel::new("mean", |call| run(call, ["mean", "mean_parts"], call.input(0).dtype))
        .with_workspace(workspace),
    Kernel::new("max", |call| run(call, ["max", "max_parts"], bytes(call))).with_workspace(workspace),
    Kernel::new("min", |call| run(call, ["min", "min_parts"], bytes(call))).with_workspace(workspace),
    Kernel::new("any", |call| run(call, ["any", "any_parts"], bits(call))).with_workspace(workspace),
    Kernel::new("all", |call| run(call, ["all", "all_parts"], bits(call))).with_workspace(workspace),
    Kernel::new("logsumexp", |call| run(call, ["logsumexp", "logsumexp_parts"], call.input(0).dtype))
        .with_workspace(workspace),
];

fn reduction(x: &View, attrs: &Attrs) -> Reduction {
    Reduction::of(x, &attrs.axes("axis", x.shape().len()))
}

fn workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    inputs[0].as_ref().map_or(0, |x| reduction(x, attrs).workspace())
}

fn run(call: &KernelCall, names: [&'static str; 2], dtype: DType) -> Run {
    reduction(call.input(0), call.attrs).run(call, "reduce", names, dtype)
}

/// A bool is a byte that holds 0 or 1.
fn bytes(call: &KernelCall) -> DType {
    match call.input(0).dtype {
        DType::Bool => DType::U8,
        dtype => dtype,
    }
}

/// Whether an integer is 0 does not depend on its sign.
fn bits(call: &KernelCall) -> DType {
    match call.input(0).dtype {
        DType::Bool | DType::I8 => DType::U8,
        DType::U32 => DType::I32,
        dtype => dtype,
    }
}
