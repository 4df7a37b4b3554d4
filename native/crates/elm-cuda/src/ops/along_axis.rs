//! Gather and scatter along one axis, an index for every element.

use elm_core::{Attrs, ErrorCode, Kernel, KernelCall, KernelError, Layout, Strides, View, elements};

use crate::copy::copy;
use crate::grid::Grid;
use crate::ids;
use crate::nd::Nd;
use crate::radix::{self, Pairs};
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("take_along_axis", take).strided(),
    Kernel::new("scatter", scatter).strided().with_workspace(|_, outputs, _| 4 * count(&outputs[0])),
    Kernel::new("scatter_add", scatter_add).strided().with_workspace(add_workspace),
];

fn count(view: &Option<View>) -> usize {
    view.as_ref().map_or(0, View::elements)
}

/// Steps that leave `axis` where it is, and those along it.
fn without(layout: &Layout, axis: usize) -> (Strides, i64) {
    let mut strides = layout.strides.clone();
    let across = std::mem::replace(&mut strides[axis], 0);
    (strides, across as i64)
}

fn named(width: usize, names: [&'static str; 4]) -> &'static str {
    names[width.trailing_zeros() as usize]
}

fn take(call: &KernelCall) -> Run {
    let (gpu, x, indices, y) = (call.gpu(), call.input(0), call.input(1), call.output(0));
    let axis = call.attrs.axis("axis", x.layout.rank());
    let n = y.elements();
    if n == 0 {
        return Ok(());
    }
    let (steps, across) = without(&x.layout, axis);
    let nd = Nd::of(y.shape(), [&steps, &indices.layout.strides]);
    let size = x.shape()[axis];
    let word = gpu.word(indices, size)?;
    let name = named(y.dtype.size(), ["take_along_1", "take_along_2", "take_along_4", "take_along_8"]);
    let args: [&dyn crate::Param; 8] =
        [&address(y), &address(x), &address(indices), &nd, &(n as u64), &across, &(size as i64), &word];
    gpu.launch("along_axis", name, &[], Grid::over(n, &gpu.limits), &args)
}

fn scatter(call: &KernelCall) -> Run {
    let (gpu, x, indices, updates) = (call.gpu(), call.input(0), call.input(1), call.input(2));
    let y = call.output(0);
    let axis = call.attrs.axis("axis", x.layout.rank());
    let (n, size, length) = (indices.elements(), x.shape()[axis], indices.shape()[axis]);
    if n == 0 {
        return copy(gpu, x, y);
    }
    let word = gpu.word(indices, size)?;
    if y.elements() == 0 {
        return ids::check(gpu, indices, size, word, std::ptr::null_mut());
    }
    let last = call.workspace;
    // SAFETY: the workspace has 4 bytes for each element of y.
    unsafe { gpu.fill_bytes(last, 0, 4 * y.elements())? };
    assert!(u32::try_from(length + 1).is_ok(), "fewer than 2³² indices along an axis");
    let (steps, across) = without(&y.layout, axis);
    let nd = Nd::of(indices.shape(), [&steps, &indices.layout.strides]);
    let inner = elements(&indices.shape()[axis + 1..]);
    let args: [&dyn crate::Param; 9] = [
        &last,
        &address(indices),
        &nd,
        &(n as u64),
        &across,
        &(size as i64),
        &(length as u64),
        &(inner as u64),
        &word,
    ];
    gpu.launch("along_axis", "scatter_mark", &[], Grid::over(n, &gpu.limits), &args)?;
    let (steps, across) = without(&updates.layout, axis);
    let nd = Nd::of(y.shape(), [&x.layout.strides, &steps]);
    let n = y.elements();
    let name = named(y.dtype.size(), ["scatter_1", "scatter_2", "scatter_4", "scatter_8"]);
    let args: [&dyn crate::Param; 7] =
        [&address(y), &address(x), &address(updates), &last, &nd, &(n as u64), &across];
    gpu.launch("along_axis", name, &[], Grid::over(n, &gpu.limits), &args)
}

/// A sort of the updates, and their positions.
fn add_workspace(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    let n = count(&inputs[1]);
    if u32::try_from(n).is_ok() { radix::bytes(n) + 4 * n } else { 0 }
}

fn scatter_add(call: &KernelCall) -> Run {
    let (gpu, x, indices, updates) = (call.gpu(), call.input(0), call.input(1), call.input(2));
    let y = call.output(0);
    let axis = call.attrs.axis("axis", x.layout.rank());
    let (n, size) = (indices.elements(), x.shape()[axis]);
    let (Ok(_), Ok(places)) = (u32::try_from(n), u32::try_from(y.elements())) else {
        let message =
            format!("x and indices must have fewer than 2³² elements on a GPU, got {} and {n}", y.elements());
        return Err(KernelError { code: ErrorCode::InvalidArgument, message });
    };
    copy(gpu, x, y)?;
    if n == 0 {
        return Ok(());
    }
    let word = gpu.word(indices, size)?;
    if y.elements() == 0 {
        return ids::check(gpu, indices, size, word, std::ptr::null_mut());
    }
    let pairs = Pairs::new(call.workspace, n);
    let positions = call.workspace.wrapping_add(radix::bytes(n));
    let (steps, across) = without(&y.layout, axis);
    let nd = Nd::of(indices.shape(), [&steps, &indices.layout.strides]);
    let args: [&dyn crate::Param; 9] = [
        &pairs.keys(),
        &positions,
        &address(indices),
        &nd,
        &(n as u64),
        &across,
        &(size as i64),
        &places,
        &word,
    ];
    gpu.launch("along_axis", "scatter_keys", &[], Grid::over(n, &gpu.limits), &args)?;
    let passes = radix::passes(places as usize);
    pairs.sort(gpu, positions, passes)?;
    let nd = Nd::new([&updates.layout]);
    let args: [&dyn crate::Param; 7] = [
        &address(y),
        &address(updates),
        &pairs.sorted_keys(passes),
        &pairs.sorted_values(positions, passes),
        &nd,
        &(n as u64),
        &places,
    ];
    gpu.launch("along_axis", "scatter_add", &[y.dtype], Grid::over(n, &gpu.limits), &args)
}
