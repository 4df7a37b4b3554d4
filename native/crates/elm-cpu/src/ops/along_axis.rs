//! Gather and scatter along one axis, an index for every element.

use elm_core::{DType, Kernel, KernelCall, KernelError, Layout, Shape, Strides, View, bf16, f16};

use crate::copy::copy;
use crate::element::{Element, Float};
use crate::ids;
use crate::nd::{GRAIN, Walk};
use crate::view::{CallExt, Ptr, ptr, slice_mut};
use crate::{with_element, with_width};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("take_along_axis", take).strided().with_workspace(|inputs, _, _| 4 * indices(inputs)),
    Kernel::new("scatter", scatter).strided().with_workspace(|inputs, _, _| 4 * indices(inputs)),
    Kernel::new("scatter_add", scatter_add).strided().with_workspace(|inputs, outputs, _| {
        let sums = outputs[0].as_ref().filter(|y| y.dtype.size() == 2).map_or(0, View::elements);
        4 * (indices(inputs) + sums)
    }),
];

fn indices(inputs: &[Option<View>]) -> usize {
    inputs[1].as_ref().map_or(0, View::elements)
}

fn load<'a>(call: &'a KernelCall, axis: usize) -> Result<&'a [u32], KernelError> {
    let (x, indices) = (call.input(0), call.input(1));
    ids::load(call.pool(), indices, x.shape()[axis], call.scratch(0, indices.elements()))
}

fn take(call: &KernelCall) -> Result<(), KernelError> {
    let (x, y) = (call.input(0), call.output(0));
    let axis = call.attrs.axis("axis", x.layout.rank());
    let ids = load(call, axis)?;
    // The walk leaves the indexed axis of x where it is; the index moves along it.
    let mut base = Layout { shape: y.layout.shape.clone(), ..x.layout.clone() };
    let step = std::mem::replace(&mut base.strides[axis], 0);
    let walk = Walk::new([&y.layout, &base]);
    let [down, across] = walk.steps;
    with_width!(x.dtype, T => {
        let (out, x) = (ptr::<T>(y), ptr::<T>(x));
        walk.run(call.pool(), |[at, from], len| {
            for i in 0..len as isize {
                let at = at + i * down;
                let id = ids[at as usize] as isize;
                // SAFETY: ids were checked and number as y is; the walk visits each element of y once.
                unsafe { out.write(at, x.read(from + i * across + id * step)) };
            }
        });
    });
    Ok(())
}

fn scatter(call: &KernelCall) -> Result<(), KernelError> {
    let (x, y) = (call.input(0), call.output(0));
    let axis = call.attrs.axis("axis", x.layout.rank());
    let ids = load(call, axis)?;
    copy(call.pool(), x, y);
    with_width!(x.dtype, T => update(call, axis, ids, ptr::<T>(y), |_, new: T| new));
    Ok(())
}

/// Integers wrap; halves are summed in f32 and rounded once.
fn scatter_add(call: &KernelCall) -> Result<(), KernelError> {
    let (x, y) = (call.input(0), call.output(0));
    let axis = call.attrs.axis("axis", x.layout.rank());
    let ids = load(call, axis)?;
    match x.dtype {
        DType::BF16 => add_halves::<bf16>(call, axis, ids),
        DType::F16 => add_halves::<f16>(call, axis, ids),
        dtype => {
            copy(call.pool(), x, y);
            match dtype {
                DType::F32 => update(call, axis, ids, ptr::<f32>(y), |sum, new: f32| sum + new),
                DType::F64 => update(call, axis, ids, ptr::<f64>(y), |sum, new: f64| sum + new),
                _ => with_element!(dtype, T => update(call, axis, ids, ptr::<T>(y), |sum: T, new: T| {
                    T::from_i64(sum.to_i64().wrapping_add(new.to_i64()))
                })),
            }
        }
    }
    Ok(())
}

fn add_halves<T: Float<Acc = f32>>(call: &KernelCall, axis: usize, ids: &[u32]) {
    let (x, y, pool) = (call.input(0), call.output(0), call.pool());
    let sums = Ptr::of(call.scratch::<f32>(ids.len(), y.elements()));
    let walk = Walk::new([&y.layout, &x.layout]);
    let (source, steps) = (ptr::<T>(x), walk.steps);
    walk.run(pool, |[at, from], len| {
        for i in 0..len as isize {
            // SAFETY: the walk stays inside x and visits each sum once.
            unsafe { sums.write(at + i * steps[0], source.read(from + i * steps[1]).load()) };
        }
    });
    update(call, axis, ids, sums, |sum, new: T| sum + new.load());
    let out = Ptr::of(slice_mut::<T>(y));
    pool.run_ranges(y.elements(), GRAIN, |range| {
        for i in range.start as isize..range.end as isize {
            // SAFETY: the ranges do not overlap, and nobody writes the sums any more.
            unsafe { out.write(i, T::store(sums.read(i))) };
        }
    });
}

/// Sets `target[…, id, …]` to `f(of it, of the update)` for every index, along the axis in order. Lines along the axis
/// do not meet, so they run side by side.
fn update<A: Copy + Send, U: Copy + Send>(
    call: &KernelCall,
    axis: usize,
    ids: &[u32],
    target: Ptr<A>,
    f: impl Fn(A, U) -> A + Sync,
) {
    let (indices, updates) = (call.input(1), call.input(2));
    let (to, by, from) = (&call.output(0).layout, &Layout::contiguous(indices.shape()), &updates.layout);
    let count = indices.shape()[axis];
    let [to_step, by_step, from_step] = [to, by, from].map(|layout| layout.strides[axis]);
    let walk = Walk::new([&without(to, axis), &without(by, axis), &without(from, axis)]);
    let steps = walk.steps;
    let updates = ptr::<U>(updates);
    let apply = |[to, by, from]: [isize; 3], i: isize, k: isize| {
        let id = ids[(by + i * steps[1] + k * by_step) as usize] as isize;
        let to = to + i * steps[0] + id * to_step;
        // SAFETY: ids were checked; a line along the axis belongs to one task.
        unsafe {
            let new = updates.read(from + i * steps[2] + k * from_step);
            target.write(to, f(target.read(to), new));
        }
    };
    // At least a cache line of neighbours, or tasks would share the lines that they read.
    walk.run_by(call.pool(), (GRAIN / count.max(1)).max(16), |at, len| {
        // Either order keeps that along the axis; the one with the shorter steps inside is quicker.
        if by_step.unsigned_abs() <= steps[1].unsigned_abs() {
            (0..len as isize).for_each(|i| (0..count as isize).for_each(|k| apply(at, i, k)));
        } else {
            (0..count as isize).for_each(|k| (0..len as isize).for_each(|i| apply(at, i, k)));
        }
    });
}

/// The layout of the other axes.
fn without(layout: &Layout, axis: usize) -> Layout {
    let others = |i: &usize| *i != axis;
    let shape: Shape = (0..layout.rank()).filter(others).map(|i| layout.shape[i]).collect();
    let strides: Strides = (0..layout.rank()).filter(others).map(|i| layout.strides[i]).collect();
    Layout { shape, strides, offset: layout.offset }
}
