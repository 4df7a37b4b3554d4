use elm_core::{Kernel, KernelCall, Layout, View};

use crate::copy::copy;
use crate::view::{CallExt, Run};

pub static KERNELS: &[Kernel] = &[Kernel::new("concat", run).strided()];

/// Each tensor is copied to its place.
fn run(call: &KernelCall) -> Run {
    let y = call.output(0);
    let axis = call.attrs.axis("axis", y.layout.rank());
    let mut start = 0;
    for x in call.inputs.iter().flatten() {
        let offset = y.layout.offset + start * y.layout.strides[axis] as usize;
        let part = Layout { shape: x.layout.shape.clone(), strides: y.layout.strides.clone(), offset };
        copy(call.gpu(), x, &View { layout: part, ..y.clone() })?;
        start += x.shape()[axis];
    }
    Ok(())
}
