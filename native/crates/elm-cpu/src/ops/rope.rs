use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::angles::{self, Angles, elements};
use crate::element::Real;
use crate::lines;
use crate::row::RowShape;
use crate::scratch;
use crate::simd::Slices;
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

fn turn<T: Slices>(call: &KernelCall) {
    let x = call.input(0);
    let [batch, heads, tokens, dim] = [x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]];
    let table = Angles::<T::Acc>::new(call, 0, [batch, tokens, dim], call.optional_input(1));
    let sign = if call.attrs.bool("inverse") { -T::Acc::ONE } else { T::Acc::ONE };
    let x = Heads::<T>::of(x);
    let y = Rows::<T>::new(call.output(0));
    let shape = RowShape::of(call.input(0).shape());
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            let (mut head, mut t) = (rows.start / tokens, rows.start % tokens);
            scratch::with(
                2 * dim,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    let (for_x, for_y) = room.split_at_mut(dim);
                    for row in rows {
                        let (b, h) = (head / heads, head % heads);
                        let from = x.matrix(b, h).at_row(t);
                        // SAFETY: every row belongs to one task.
                        let y = unsafe { y.part(row * dim, dim) };
                        // SAFETY: the row lies inside the input.
                        let x = unsafe { lines::wide(from.start, 0, from.columns, for_x) };
                        T::write(
                            y,
                            for_y,
                            #[inline(always)]
                            |y| angles::turn(x, table.row(b, t), sign, y),
                        );
                        t += 1;
                        if t == tokens {
                            (head, t) = (head + 1, 0);
                        }
                    }
                },
            );
        },
    );
}
