use elm_core::{Attrs, DType, Kernel, KernelCall, View};
use smallvec::SmallVec;

use crate::reduction::Reduction;
use crate::view::{CallExt, Run};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("argmax", |call| run(call, ["argmax", "argmax_parts"])).with_workspace(workspace),
    Kernel::new("argmin", |call| run(call, ["argmin", "argmin_parts"])).with_workspace(workspace),
];

/// Places are counted along the axis, or in the flattened tensor without one.
fn reduction(x: &View, attrs: &Attrs) -> Reduction {
    let rank = x.shape().len();
    let axis = attrs.is_given("axis").then(|| attrs.axis("axis", rank));
    let mask: SmallVec<[bool; 8]> = (0..rank).map(|i| axis.is_none_or(|axis| axis == i)).collect();
    Reduction::of(x, &mask)
}

fn workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    inputs[0].as_ref().map_or(0, |x| reduction(x, attrs).workspace())
}

fn run(call: &KernelCall, names: [&'static str; 2]) -> Run {
    let dtype = match call.input(0).dtype {
        DType::Bool => DType::U8,
        dtype => dtype,
    };
    reduction(call.input(0), call.attrs).run(call, "arg_reduce", names, dtype)
}
