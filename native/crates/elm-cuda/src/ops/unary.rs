//! Kernels of the ops `y[i] = f(x[i])`: a line each.

use elm_core::{Kernel, KernelCall};

use crate::map::map;
use crate::view::{CallExt, Run};

fn run(call: &KernelCall, name: &'static str) -> Run {
    map::<2>(call, "unary", name, &[call.input(0).dtype], &[])
}

macro_rules! unary {
    ($($name:literal),* $(,)?) => { &[$(Kernel::new($name, |call| run(call, $name)).strided()),*] };
}

pub static KERNELS: &[Kernel] = unary![
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log1p",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "silu",
    "erf",
    "neg",
    "abs",
    "square",
    "relu",
    "sign",
    "floor",
    "ceil",
    "round",
    "trunc",
    "isnan",
    "isinf",
    "isfinite",
];
