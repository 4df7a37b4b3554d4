use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::angles::{Angles, elements};
use crate::element::{Float, Real};
use crate::row::RowShape;
use crate::small_product::Heads;
use crate::view::{CallExt, Rows};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[Kernel::new("rope", run).strided().with_workspace(table_bytes)];

fn table_bytes(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    let Some(x) = &inputs[0] else { return 0 };
    let [batch, tokens, dim] = [x.shape()[0], x.shape()[2], x.shape()[3]];
    elements(batch, tokens, dim, inputs[1].is_some()) * x.dtype.accumulator().size()
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => turn::<T>(call));
    Ok(())
}

fn turn<T: Float>(call: &KernelCall) {
    let x = call.input(0);
    let [batch, heads, tokens, dim] = [x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]];
    let angles = Angles::<T::Acc>::new(call, 0, [batch, tokens, dim], call.optional_input(1));
    let sign = if call.attrs.bool("inverse") { -T::Acc::ONE } else { T::Acc::ONE };
    let x = Heads::<T>::of(x);
    let (y, half) = (Rows::<T>::new(call.output(0)), dim / 2);
    let shape = RowShape::of(call.input(0).shape());
    call.pool().run_ranges(shape.rows, shape.grain(), |rows| {
        for row in rows {
            let (b, head, t) = (row / (heads * tokens), row / tokens % heads, row % tokens);
            let from = x.matrix(b, head).at_row(t);
            let (cos, sin) = angles.row(b, t);
            // SAFETY: every row belongs to one task.
            let (low, high) = unsafe { y.part(row * dim, dim) }.split_at_mut(half);
            let turned = |x1: T, x2: T, cos: T::Acc, sin: T::Acc| {
                let (x1, x2, sin) = (x1.load(), x2.load(), sin * sign);
                (T::store(x1 * cos - x2 * sin), T::store(x2 * cos + x1 * sin))
            };
            if from.columns == 1 {
                // SAFETY: the row lies inside the input.
                let (x1, x2) = unsafe { from.start.slice(0, dim) }.split_at(half);
                for j in 0..half {
                    (low[j], high[j]) = turned(x1[j], x2[j], cos[j], sin[j]);
                }
            } else {
                for j in 0..half {
                    let at = |j: usize| j as isize * from.columns;
                    // SAFETY: as above.
                    let (x1, x2) = unsafe { (from.start.read(at(j)), from.start.read(at(j + half))) };
                    (low[j], high[j]) = turned(x1, x2, cos[j], sin[j]);
                }
            }
        }
    });
}
