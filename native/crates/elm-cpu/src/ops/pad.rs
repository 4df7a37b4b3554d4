use elm_core::{Kernel, KernelCall, KernelError, Layout, View, elements};

use crate::copy::copy;
use crate::nd::GRAIN;
use crate::stream_store::Stores;
use crate::view::{CallExt, Rows};
use crate::{Element, with_element};

pub static KERNELS: &[Kernel] = &[Kernel::new("pad", run).strided()];

fn run(call: &KernelCall) -> Result<(), KernelError> {
    let (x, y) = (call.input(0), call.output(0));
    with_element!(y.dtype, T => fill_border::<T>(call));
    let pads = call.attrs.ints("pads");
    let offset =
        y.layout.strides.iter().enumerate().map(|(axis, &step)| pads[2 * axis] as usize * step as usize);
    let inside = Layout {
        shape: x.layout.shape.clone(),
        strides: y.layout.strides.clone(),
        offset: y.layout.offset + offset.sum::<usize>(),
    };
    copy(call.pool(), x, &View { layout: inside, ..y.clone() });
    Ok(())
}

/// Fills what is new. The output is cut into blocks at the last axis that grows: a block is new as a whole, or only
/// before and after the elements of `x`.
fn fill_border<T: Element>(call: &KernelCall) {
    let (x, y, pads) = (call.input(0), call.output(0), call.attrs.ints("pads"));
    let pad = |axis: usize| [pads[2 * axis] as usize, pads[2 * axis + 1] as usize];
    let Some(last) = (0..x.layout.rank()).rev().find(|&axis| pad(axis) != [0, 0]) else { return };
    let (shape, value) = (y.shape(), T::from_f64(call.attrs.f64("value")));
    let block = elements(&shape[last..]);
    let [before, after] = pad(last).map(|count| count * elements(&shape[last + 1..]));
    let (out, stores) = (Rows::<T>::new(y), Stores::of(y));
    let fill = |part: &mut [T]| stores.fill(part, |_, part| part.fill(value));
    call.pool().run_ranges(elements(&shape[..last]), GRAIN / block.max(1), |rows| {
        for row in rows {
            let mut rest = row;
            let mut is_new = false;
            for axis in (0..last).rev() {
                let index = rest % shape[axis];
                rest /= shape[axis];
                is_new |= index < pad(axis)[0] || index >= shape[axis] - pad(axis)[1];
            }
            // SAFETY: every block belongs to one task.
            let block = unsafe { out.part(row * block, block) };
            if is_new {
                fill(block);
            } else {
                let len = block.len();
                fill(&mut block[..before]);
                fill(&mut block[len - after..]);
            }
        }
    });
}
