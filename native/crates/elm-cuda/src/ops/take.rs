use elm_core::{Attrs, Kernel, KernelCall, Layout, Strides, View, elements};

use crate::grid::Grid;
use crate::ids;
use crate::nd::Nd;
use crate::radix::{self, Pairs};
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("take", take).strided(),
    Kernel::new("take_backward", backward).with_workspace(backward_workspace),
];

fn take(call: &KernelCall) -> Run {
    let (gpu, x, indices, y) = (call.gpu(), call.input(0), call.input(1), call.output(0));
    if indices.elements() == 0 {
        return Ok(());
    }
    let axis = call.attrs.axis("axis", x.layout.rank());
    let size = x.shape()[axis];
    let word = gpu.word(indices, size)?;
    if y.elements() == 0 {
        return ids::check(gpu, indices, size, word, std::ptr::null_mut());
    }
    // The steps of x, of the indices and of their positions along the axes of y.
    let (from, to) = (&x.layout.strides, &indices.layout.strides);
    let dense = Layout::contiguous(indices.shape());
    let spread = |own: &[isize], before: &[isize], after: &[isize]| -> Strides {
        before.iter().chain(own).chain(after).copied().collect()
    };
    let rest = vec![0; x.layout.rank()];
    let (before, after) = (&rest[..axis], &rest[axis + 1..]);
    let own = vec![0; indices.layout.rank()];
    let steps = [
        spread(&own, &from[..axis], &from[axis + 1..]),
        spread(to, before, after),
        spread(&dense.strides, before, after),
    ];
    let (target, source) = (address(y), address(x));
    let mut across = [from[axis] as i64];
    let nd = Nd::of(y.shape(), [&steps[0], &steps[1], &steps[2]]);
    let (nd, width) = nd.in_units::<1>(y.dtype.size(), &[target, source], &mut across);
    let name = match width {
        1 => "take_1",
        2 => "take_2",
        4 => "take_4",
        8 => "take_8",
        _ => "take_16",
    };
    let n = nd.count();
    let args: [&dyn crate::Param; 8] =
        [&target, &source, &address(indices), &nd, &(n as u64), &across[0], &(size as i64), &word];
    gpu.launch("take", name, &[], Grid::over(n, &gpu.limits), &args)
}

/// A sort of the indices, and their positions.
fn backward_workspace(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    let count = inputs[1].as_ref().map_or(0, View::elements);
    radix::bytes(count) + 4 * count
}

fn backward(call: &KernelCall) -> Run {
    let (gpu, grad, indices, dx) = (call.gpu(), call.input(0), call.input(1), call.output(0));
    let axis = call.attrs.axis("axis", dx.layout.rank());
    let (count, size, inner) = (indices.elements(), dx.shape()[axis], elements(&dx.shape()[axis + 1..]));
    if dx.elements() > 0 {
        // SAFETY: the output is live and row-major.
        unsafe { gpu.fill_bytes(address(dx), 0, dx.bytes())? };
    }
    if count == 0 {
        return Ok(());
    }
    let pairs = Pairs::new(call.workspace, count);
    let positions = call.workspace.wrapping_add(radix::bytes(count));
    let word = gpu.word(indices, size)?;
    let args: [&dyn crate::Param; 6] =
        [&pairs.keys(), &positions, &address(indices), &(count as u64), &(size as i64), &word];
    gpu.launch("take", "take_keys", &[], Grid::over(count, &gpu.limits), &args)?;
    if grad.elements() == 0 {
        return Ok(());
    }
    let passes = radix::passes(size);
    pairs.sort(gpu, positions, passes)?;
    let wide = 16 / dx.dtype.size();
    let packed = inner.is_multiple_of(wide)
        && [dx, grad].iter().all(|view| (address(view) as usize).is_multiple_of(16));
    let each = if packed { wide } else { 1 };
    let n = grad.elements() / each;
    let args: [&dyn crate::Param; 9] = [
        &address(dx),
        &address(grad),
        &pairs.sorted_keys(passes),
        &pairs.sorted_values(positions, passes),
        &(count as u32),
        &((inner / each) as u64),
        &(size as u64),
        &(n as u64),
        &u32::from(packed),
    ];
    gpu.launch("take", "take_backward", &[dx.dtype], Grid::over(n, &gpu.limits), &args)
}
