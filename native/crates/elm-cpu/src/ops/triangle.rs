//! Kernels of the triangles of matrices: of every row a part is copied and the rest is 0.

use std::ops::Range;

use elm_core::{Kernel, KernelCall, KernelError};

use crate::lines::Lines;
use crate::view::{CallExt, ptr};
use crate::with_width;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("tril", |call| run(call, |end, columns| 0..bounded(end, columns))).strided(),
    Kernel::new("triu", |call| run(call, |end, columns| bounded(end.saturating_sub(1), columns)..columns))
        .strided(),
];

fn bounded(column: i64, columns: usize) -> usize {
    column.clamp(0, columns as i64) as usize
}

/// `kept(end, columns)` says which columns of a row stay, where `end` is the one after the diagonal's.
fn run(call: &KernelCall, kept: fn(i64, usize) -> Range<usize>) -> Result<(), KernelError> {
    let (x, y) = (call.input(0), call.output(0));
    let axis = x.shape().len() - 1;
    let (height, columns) = (x.shape()[axis - 1], x.shape()[axis]);
    let rows = Lines::new(axis, [&x.layout, &y.layout]);
    let diagonal = call.attrs.int("diagonal");
    let step = rows.steps[0];
    with_width!(x.dtype, T => {
        let (from, to) = (ptr::<T>(x), ptr::<T>(y));
        rows.run(call.pool(), columns, |range| {
            for row in range {
                let [start, at] = rows.start(row);
                let kept = kept(diagonal.saturating_add((row % height) as i64 + 1), columns);
                // SAFETY: the row lies inside the row-major output and belongs to this task.
                let line = unsafe { to.moved(at).slice_mut(0, columns) };
                line[..kept.start].fill(0);
                line[kept.end..].fill(0);
                for column in kept {
                    // SAFETY: the row lies inside the input's view.
                    line[column] = unsafe { from.read(start + column as isize * step) };
                }
            }
        });
    });
    Ok(())
}
