//! Ops that write into a tensor. What they read may share its memory, and is then set aside first.

use elm_core::{Attrs, Kernel, KernelCall, KernelError, Layout, Strides, View};

use crate::Gpu;
use crate::copy::copy;
use crate::grid::Grid;
use crate::ids;
use crate::nd::Nd;
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("assign", assign)
        .strided()
        .with_workspace(|inputs, _, _| aside_bytes(&inputs[0], &inputs[1])),
    Kernel::new("assign_rows", assign_rows).strided().with_workspace(rows_workspace),
    Kernel::new("cache_write", cache_write).strided().with_workspace(|inputs, _, _| {
        aside_bytes(&inputs[0], &inputs[1]) + aside_bytes(&inputs[0], &inputs[2])
    }),
];

/// Bytes to set what is read aside, such that what follows is aligned; 0 if it need not be.
pub(super) fn aside_bytes(written: &Option<View>, read: &Option<View>) -> usize {
    match (written, read) {
        (Some(target), Some(value)) if target.may_share(value) => value.bytes().next_multiple_of(256),
        _ => 0,
    }
}

/// The input at `read`, or a copy of it at the start of `scratch`, which moves on, if input 0 shares memory with it.
fn set_aside(call: &KernelCall, read: usize, scratch: &mut *mut u8) -> Result<View, KernelError> {
    set_aside_bytes(call, read, aside_bytes(&call.inputs[0], &call.inputs[read]), scratch)
}

/// The input at `read`, or a copy of it in the next `bytes` of `scratch` unless those are 0.
pub(super) fn set_aside_bytes(
    call: &KernelCall,
    read: usize,
    bytes: usize,
    scratch: &mut *mut u8,
) -> Result<View, KernelError> {
    let value = call.input(read);
    if bytes == 0 {
        return Ok(value.clone());
    }
    let copied = View { base: *scratch, dtype: value.dtype, layout: Layout::contiguous(value.shape()) };
    copy(call.gpu(), value, &copied)?;
    *scratch = scratch.wrapping_add(bytes);
    Ok(copied)
}

fn assign(call: &KernelCall) -> Run {
    let (target, mut scratch) = (call.input(0), call.workspace);
    let value = set_aside(call, 1, &mut scratch)?;
    let layout = value.layout.broadcast_to(target.shape()).expect("the shape rule has checked it");
    copy(call.gpu(), &View { layout, ..value }, target)
}

/// Room for the last position that names each place of the axis: of several slices for one place the last stays.
fn last_bytes(target: &View, indices: &View, attrs: &Attrs) -> usize {
    let axis = attrs.axis("axis", target.layout.rank());
    if indices.elements() > 1 { 4 * target.shape()[axis] } else { 0 }
}

fn rows_workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    let [Some(target), Some(indices), Some(_)] = inputs else { return 0 };
    let aside = aside_bytes(&inputs[0], &inputs[1]) + aside_bytes(&inputs[0], &inputs[2]);
    aside + last_bytes(target, indices, attrs)
}

fn assign_rows(call: &KernelCall) -> Run {
    let (gpu, target, mut scratch) = (call.gpu(), call.input(0), call.workspace);
    let indices = set_aside(call, 1, &mut scratch)?;
    let value = set_aside(call, 2, &mut scratch)?;
    if indices.elements() == 0 {
        return Ok(());
    }
    let axis = call.attrs.axis("axis", target.layout.rank());
    let size = target.shape()[axis];
    let word = gpu.word(&indices, size)?;
    let mut last = std::ptr::null_mut();
    let room = last_bytes(target, &indices, call.attrs);
    if room > 0 {
        last = scratch;
        // SAFETY: the workspace has this room behind what was set aside.
        unsafe { gpu.fill_bytes(last, 0, room)? };
    }
    if room > 0 || value.elements() == 0 {
        ids::check(gpu, &indices, size, word, last)?;
    }
    if value.elements() == 0 || size == 0 {
        return Ok(());
    }
    write_rows(call, [target, &value, &indices], axis, [word, last])
}

fn write_rows(call: &KernelCall, views: [&View; 3], axis: usize, [word, last]: [*mut u8; 2]) -> Run {
    let (gpu, [target, value, indices]) = (call.gpu(), views);
    let steps = &target.layout.strides;
    let dense = Layout::contiguous(indices.shape());
    // Steps along the axes of the value.
    let spread = |own: &[isize], before: &[isize], after: &[isize]| -> Strides {
        before.iter().chain(own).chain(after).copied().collect()
    };
    let (rest, own) = (vec![0; steps.len()], vec![0; indices.layout.rank()]);
    let (before, after) = (&rest[..axis], &rest[axis + 1..]);
    let to = spread(&own, &steps[..axis], &steps[axis + 1..]);
    let by = spread(&indices.layout.strides, before, after);
    let position = spread(&dense.strides, before, after);
    let mut across = [steps[axis] as i64];
    let (target_at, value_at) = (address(target), address(value));
    let nd = Nd::of(value.shape(), [&to, &value.layout.strides, &by, &position]);
    let (nd, width) = nd.in_units::<2>(value.dtype.size(), &[target_at, value_at], &mut across);
    let names = ["assign_rows_1", "assign_rows_2", "assign_rows_4", "assign_rows_8", "assign_rows_16"];
    let n = nd.count();
    let args: [&dyn crate::Param; 9] = [
        &target_at,
        &value_at,
        &address(indices),
        &nd,
        &(n as u64),
        &across[0],
        &(target.shape()[axis] as i64),
        &word,
        &last,
    ];
    let name = names[width.trailing_zeros() as usize];
    gpu.launch("assign", name, &[], Grid::over(n, &gpu.limits), &args)
}

/// The word by which a kernel reports the first of `positions` at which `tokens` new ones do not fit.
pub(super) fn position_word(gpu: &Gpu, positions: &View, tokens: usize, capacity: usize) -> Run<*mut u8> {
    gpu.word_that_says(positions.shape(), move |entry, position| {
        let entry = entry[0];
        KernelError::index(format!(
            "position {position} of batch entry {entry} with {tokens} new tokens does not fit a cache of capacity \
             {capacity}"
        ))
    })
}

fn cache_write(call: &KernelCall) -> Run {
    let (gpu, cache, mut scratch) = (call.gpu(), call.input(0), call.workspace);
    let x = set_aside(call, 1, &mut scratch)?;
    let positions = set_aside(call, 2, &mut scratch)?;
    let (capacity, tokens, batch) = (cache.shape()[2], x.shape()[2], x.shape()[0]);
    if batch == 0 {
        return Ok(());
    }
    let word = position_word(gpu, &positions, tokens, capacity)?;
    let along_batch = positions.layout.strides[0];
    let mut across = [cache.layout.strides[2] as i64];
    let (target, source) = (address(cache), address(&x));
    let steps = [&cache.layout.strides[..], &x.layout.strides, &[along_batch, 0, 0, 0]];
    let n = x.elements();
    // Positions are looked at even where there is nothing to write.
    let (nd, width) = match n {
        0 => (Nd::of(&[], [&[]; 3]), x.dtype.size()),
        _ => Nd::of(x.shape(), steps).in_units::<2>(x.dtype.size(), &[target, source], &mut across),
    };
    let n = if n == 0 { 0 } else { nd.count() };
    let names = ["cache_write_1", "cache_write_2", "cache_write_4", "cache_write_8", "cache_write_16"];
    let args: [&dyn crate::Param; 10] = [
        &target,
        &source,
        &address(&positions),
        &nd,
        &(n as u64),
        &across[0],
        &(batch as u32),
        &(along_batch as i64),
        &((capacity - tokens) as i64),
        &word,
    ];
    let name = names[width.trailing_zeros() as usize];
    gpu.launch("assign", name, &[], Grid::over(n.max(1), &gpu.limits), &args)
}
