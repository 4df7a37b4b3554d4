use elm_core::{Attrs, Kernel, KernelCall, KernelError, View, elements};

use crate::element::{Float, Real};
use crate::ids::{self, ByRow};
use crate::picked::Picked;
use crate::view::{CallExt, Rows, slice};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("take", take).strided().with_workspace(|inputs, _, _| 4 * indices(inputs)).with_cost(
        |inputs, outputs, _| {
            let moved = outputs[0].as_ref().map_or(0, View::bytes);
            (indices(inputs) * 4 + moved / 2) as u64
        },
    ),
    Kernel::new("take_backward", backward).with_workspace(backward_workspace),
];

fn indices(inputs: &[Option<View>]) -> usize {
    inputs[1].as_ref().map_or(0, View::elements)
}

fn take(call: &KernelCall) -> Result<(), KernelError> {
    let (x, indices, y) = (call.input(0), call.input(1), call.output(0));
    let axis = call.attrs.axis("axis", x.layout.rank());
    let ids = ids::load(call.pool(), indices, x.shape()[axis], call.scratch(0, indices.elements()))?;
    Picked::new(call.pool(), x, y, ids, axis, indices.layout.rank()).gather();
    Ok(())
}

/// Ids, their positions sorted by row, and where each row starts.
fn backward_workspace(inputs: &[Option<View>], _: &[Option<View>], attrs: &Attrs) -> usize {
    4 * (2 * indices(inputs) + attrs.int("size") as usize + 1)
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    let (grad, indices, dx) = (call.input(0), call.input(1), call.output(0));
    let axis = call.attrs.axis("axis", dx.layout.rank());
    let (count, size) = (indices.elements(), dx.shape()[axis]);
    let ids = ids::load(call.pool(), indices, size, call.scratch(0, count))?;
    let sorted = ByRow::sort(ids, call.scratch(count, size + 1), call.scratch(count + size + 1, count));
    let inner = elements(&dx.shape()[axis + 1..]);
    with_float!(grad.dtype, T => sum_rows::<T>(call, &sorted, [size, count, inner]));
    Ok(())
}

/// Elements of a row that are summed at once, in an array that stays in the first cache.
const TILE: usize = 512;

/// Every row of `dx` has one owner, who adds its rows of `grad` in order.
fn sum_rows<T: Float>(call: &KernelCall, sorted: &ByRow, [size, count, inner]: [usize; 3]) {
    let grad = slice::<T>(call.input(0));
    let dx = Rows::<T>::new(call.output(0));
    if inner == 0 || size == 0 {
        return;
    }
    let rows = call.output(0).elements() / inner;
    call.pool().run_ranges(rows, 8192 / inner, |range| {
        for row in range {
            let (outer, positions) = (row / size, sorted.positions(row % size));
            // SAFETY: every row belongs to one task.
            let out = unsafe { dx.part(row * inner, inner) };
            for (tile, out) in out.chunks_mut(TILE).enumerate() {
                let mut sums = [T::Acc::ZERO; TILE];
                let sums = &mut sums[..out.len()];
                for &position in positions {
                    let start = (outer * count + position as usize) * inner + tile * TILE;
                    let grad = &grad[start..start + out.len()];
                    sums.iter_mut().zip(grad).for_each(|(sum, g)| *sum += g.load());
                }
                out.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::store(*sum));
            }
        }
    });
}
