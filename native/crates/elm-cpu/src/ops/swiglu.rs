use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::Real;
use crate::row::RowShape;
use crate::simd::Slices;
use crate::view::{CallExt, Rows, slice};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("swiglu", forward).with_cost(cost),
    Kernel::new("swiglu_backward", backward).with_cost(cost),
];

/// An exponential and a division an element: about half a nanosecond on one core.
fn cost(inputs: &[Option<elm_core::View>], _: &[Option<elm_core::View>], _: &elm_core::Attrs) -> u64 {
    inputs.last().and_then(Option::as_ref).map_or(0, |x| x.elements() as u64 / 2)
}

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => forward_typed::<T>(call));
    Ok(())
}

/// Columns that are widened together: what is read and written of them stays in the first cache.
const BLOCK: usize = 512;

fn forward_typed<T: Slices>(call: &KernelCall) {
    let shape = RowShape::of(call.output(0).shape());
    let dim = shape.dim;
    let (x, y) = (slice::<T>(call.input(0)), Rows::<T>::new(call.output(0)));
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            let mut room = [[T::Acc::ZERO; BLOCK]; 3];
            let [for_a, for_b, for_y] = &mut room;
            for row in rows {
                let (gate, value) = x[2 * row * dim..2 * (row + 1) * dim].split_at(dim);
                // SAFETY: every row belongs to one task.
                let y = unsafe { y.part(row * dim, dim) };
                for ((y, a), b) in y.chunks_mut(BLOCK).zip(gate.chunks(BLOCK)).zip(value.chunks(BLOCK)) {
                    let (a, b) = (T::wide(a, for_a), T::wide(b, for_b));
                    let for_y = &mut for_y[..y.len()];
                    for ((y, &a), &b) in for_y.iter_mut().zip(a).zip(b) {
                        *y = a * sigmoid(a).0 * b;
                    }
                    T::narrow(for_y, y);
                }
            }
        },
    );
}

/// `1 / (1 + e⁻ᵃ)` and what is left to 1, from `e^−|a|`: nothing overflows and nothing cancels.
#[inline(always)]
fn sigmoid<R: Real>(a: R) -> (R, R) {
    let e = (-a.abs()).exp_below();
    let large = R::ONE / (R::ONE + e);
    let small = e * large;
    if a >= R::ZERO { (large, small) } else { (small, large) }
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => backward_typed::<T>(call));
    Ok(())
}

fn backward_typed<T: Slices>(call: &KernelCall) {
    let shape = RowShape::of(call.input(0).shape());
    let dim = shape.dim;
    let (grad, x, dx) =
        (slice::<T>(call.input(0)), slice::<T>(call.input(1)), Rows::<T>::new(call.output(0)));
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            let mut room = [[T::Acc::ZERO; BLOCK]; 5];
            let [for_a, for_b, for_g, for_da, for_db] = &mut room;
            for row in rows {
                let (gate, value) = x[2 * row * dim..2 * (row + 1) * dim].split_at(dim);
                let grad = &grad[row * dim..(row + 1) * dim];
                // SAFETY: every row belongs to one task.
                let (da, db) = unsafe { dx.part(2 * row * dim, 2 * dim) }.split_at_mut(dim);
                let inputs = gate.chunks(BLOCK).zip(value.chunks(BLOCK)).zip(grad.chunks(BLOCK));
                for ((da, db), ((a, b), g)) in da.chunks_mut(BLOCK).zip(db.chunks_mut(BLOCK)).zip(inputs) {
                    let (a, b, g) = (T::wide(a, for_a), T::wide(b, for_b), T::wide(g, for_g));
                    let (for_da, for_db) = (&mut for_da[..a.len()], &mut for_db[..a.len()]);
                    for ((((da, db), &a), &b), &g) in for_da.iter_mut().zip(&mut *for_db).zip(a).zip(b).zip(g)
                    {
                        let (s, rest) = sigmoid(a);
                        *da = g * b * s * (T::Acc::ONE + a * rest);
                        *db = g * a * s;
                    }
                    T::narrow(for_da, da);
                    T::narrow(for_db, db);
                }
            }
        },
    );
}
