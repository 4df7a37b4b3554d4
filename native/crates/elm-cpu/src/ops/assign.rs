//! Ops that write into a tensor. What they read may share its memory, and is then set aside first.

use elm_core::{Attrs, Kernel, KernelCall, KernelError, Layout, View};
use smallvec::SmallVec;

use crate::Pool;
use crate::copy::copy;
use crate::ids;
use crate::picked::Picked;
use crate::view::{CallExt, ptr};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("assign", assign).strided().with_workspace(|inputs, _, _| aside_bytes(inputs, 0, 1)),
    Kernel::new("assign_rows", assign_rows)
        .strided()
        .with_workspace(rows_workspace)
        .with_cost(|inputs, _, _| moved(inputs, 2)),
    Kernel::new("cache_write", cache_write)
        .strided()
        .with_workspace(|inputs, _, _| aside_bytes(inputs, 0, 1))
        .with_cost(|inputs, _, _| moved(inputs, 1)),
];

/// Only what is written counts, not the whole target.
fn moved(inputs: &[Option<View>], read: usize) -> u64 {
    inputs[read].as_ref().map_or(0, |value| value.bytes() as u64 / 2)
}

/// Bytes to set the input at `read` aside, rounded up so that what follows is aligned; 0 if it need not be.
fn aside_bytes(inputs: &[Option<View>], written: usize, read: usize) -> usize {
    match (&inputs[written], &inputs[read]) {
        (Some(target), Some(value)) if target.may_share(value) => value.bytes().next_multiple_of(8),
        _ => 0,
    }
}

/// `value`, or a copy of it at the start of the workspace if it shares memory with `target`.
fn set_aside(call: &KernelCall, target: &View, value: &View) -> View {
    if !target.may_share(value) {
        return value.clone();
    }
    let copied = View { base: call.workspace, dtype: value.dtype, layout: Layout::contiguous(value.shape()) };
    copy(call.pool(), value, &copied);
    copied
}

fn assign(call: &KernelCall) -> Result<(), KernelError> {
    let target = call.input(0);
    let value = set_aside(call, target, call.input(1));
    let layout = value.layout.broadcast_to(target.shape()).expect("the shape rule has checked it");
    copy(call.pool(), &View { layout, ..value }, target);
    Ok(())
}

fn rows_workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    let [Some(target), Some(indices), Some(value)] = inputs else { return 0 };
    let axis = attrs.axis("axis", target.layout.rank());
    let last = if Picked::needs_last(value) { target.shape()[axis] } else { 0 };
    aside_bytes(inputs, 0, 2) + 4 * (indices.elements() + last)
}

fn assign_rows(call: &KernelCall) -> Result<(), KernelError> {
    let (target, indices, value) = (call.input(0), call.input(1), call.input(2));
    let axis = call.attrs.axis("axis", target.layout.rank());
    let start = aside_bytes(call.inputs, 0, 2) / 4;
    let size = target.shape()[axis];
    let ids = ids::load(call.pool(), indices, size, call.scratch(start, indices.elements()))?;
    let last = if Picked::needs_last(value) { size } else { 0 };
    let value = set_aside(call, target, value);
    let picked = Picked::new(call.pool(), target, &value, ids, axis, indices.layout.rank());
    picked.scatter(call.scratch(start + ids.len(), last));
    Ok(())
}

fn cache_write(call: &KernelCall) -> Result<(), KernelError> {
    let (cache, x, position) = (call.input(0), call.input(1), call.input(2));
    let (capacity, tokens) = (cache.shape()[2], x.shape()[2]);
    let positions = read_positions(position, capacity, tokens)?;
    write_all(call.pool(), cache, &set_aside(call, cache, x), &positions);
    Ok(())
}

/// `cache[b, :, positions[b].., :] = x[b]` for all b; `x` shares no memory with the cache.
pub(super) fn write_all(pool: &Pool, cache: &View, x: &View, positions: &[usize]) {
    for (batch, &position) in positions.iter().enumerate() {
        write_one(pool, cache, x, batch, position);
    }
}

/// All positions, before anything is written.
pub(super) fn read_positions(
    position: &View,
    capacity: usize,
    tokens: usize,
) -> Result<SmallVec<[usize; 16]>, KernelError> {
    let (values, step) = (ptr::<i32>(position), position.layout.strides[0]);
    (0..position.elements())
        .map(|batch| {
            // SAFETY: the batch index lies inside the view.
            let at = unsafe { values.read(batch as isize * step) };
            usize::try_from(at).ok().filter(|at| at + tokens <= capacity).ok_or_else(|| {
                KernelError::index(format!(
                    "position {at} of batch entry {batch} with {tokens} new tokens does not fit a cache of capacity \
                     {capacity}"
                ))
            })
        })
        .collect()
}

/// `cache[batch, :, position.., :] = x[batch]`.
fn write_one(pool: &Pool, cache: &View, x: &View, batch: usize, position: usize) {
    let entry = |view: &View, start: usize| {
        let layout = &view.layout;
        let moved = batch as isize * layout.strides[0] + start as isize * layout.strides[2];
        let layout = Layout {
            shape: x.layout.shape[1..].into(),
            strides: layout.strides[1..].into(),
            offset: (layout.offset as isize + moved) as usize,
        };
        View { layout, ..view.clone() }
    };
    copy(pool, &entry(x, 0), &entry(cache, position));
}
