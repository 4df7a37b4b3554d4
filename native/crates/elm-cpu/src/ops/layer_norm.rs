use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::Real;
use crate::lines::{self, Running};
use crate::row::{self, RowShape};
use crate::scratch;
use crate::simd::{Slices, Vector};
use crate::view::{CallExt, Ptr, Rows, slice};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("layer_norm", forward).with_workspace(|inputs, _, _| affine_bytes(&inputs[0])),
    Kernel::new("layer_norm_backward", backward).with_workspace(backward_bytes),
];

/// Rows whose parameter gradients are summed by one task before the tasks are summed in order.
const GRADIENT_ROWS: usize = 64;

/// Weight and bias as the arithmetic holds them.
fn affine_bytes(x: &Option<View>) -> usize {
    x.as_ref().map_or(0, |x| 2 * RowShape::of(x.shape()).dim * x.dtype.accumulator().size())
}

/// The weight, then for each block of rows the sums for `dweight` and for `dbias`.
fn backward_bytes(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    let Some(x) = &inputs[1] else { return 0 };
    let shape = RowShape::of(x.shape());
    (1 + 2 * shape.rows.div_ceil(GRADIENT_ROWS)) * shape.dim * x.dtype.accumulator().size()
}

/// Copies a parameter into `to`, `missing` where it was not given.
fn parameter<R: Real>(view: Option<&View>, missing: R, to: &mut [R]) {
    match view {
        Some(view) => row::convert(view, to),
        None => to.fill(missing),
    }
}

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => forward_typed::<T>(call));
    Ok(())
}

fn forward_typed<T: Slices>(call: &KernelCall) {
    let shape = RowShape::of(call.input(0).shape());
    let dim = shape.dim;
    let (x, y) = (slice::<T>(call.input(0)), Rows::<T>::new(call.output(0)));
    let mean_out = call.optional_output(1).map(Rows::<T::Acc>::new);
    let rstd_out = call.optional_output(2).map(Rows::<T::Acc>::new);
    let (weight, bias) = (call.scratch::<T::Acc>(0, dim), call.scratch::<T::Acc>(dim, dim));
    parameter(call.optional_input(1), T::Acc::ONE, weight);
    parameter(call.optional_input(2), T::Acc::ZERO, bias);
    let (weight, bias) = (&*weight, &*bias);
    let (eps, count) = (T::Acc::real(call.attrs.f64("eps")), T::Acc::real(dim as f64));
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            scratch::with(
                2 * dim,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    let (for_x, for_y) = room.split_at_mut(dim);
                    for row in rows {
                        let x = T::wide(&x[row * dim..(row + 1) * dim], for_x);
                        let mean = lines::sum(x) / count;
                        // Two passes: the difference of two large sums would lose the variance of rows far from 0.
                        let variance = lines::sum_of(
                            x,
                            #[inline(always)]
                            |x| (x - mean) * (x - mean),
                        ) / count;
                        let rstd = T::Acc::ONE / (variance + eps).sqrt();
                        // SAFETY: every row belongs to one task.
                        let y = unsafe { y.part(row * dim, dim) };
                        T::write(
                            y,
                            for_y,
                            #[inline(always)]
                            |y| apply(x, [mean, rstd], weight, bias, y),
                        );
                        for (out, value) in [(&mean_out, mean), (&rstd_out, rstd)] {
                            if let Some(out) = out {
                                // SAFETY: as above.
                                unsafe { out.part(row, 1)[0] = value };
                            }
                        }
                    }
                },
            );
        },
    );
}

/// `y = (x − mean) · rstd · weight + bias`.
#[inline(always)]
fn apply<R: Real>(x: &[R], [mean, rstd]: [R; 2], weight: &[R], bias: &[R], y: &mut [R]) {
    for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
        *y = ((x - mean) * rstd).mul_add(w, b);
    }
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(1).dtype, T => backward_typed::<T>(call));
    Ok(())
}

/// With `x̂ = (x − mean) · rstd` and `g = grad · weight`: `dx = rstd · (g − mean(g) − x̂ · mean(g · x̂))`.
fn backward_typed<T: Slices>(call: &KernelCall) {
    let shape = RowShape::of(call.input(1).shape());
    let dim = shape.dim;
    let (grad, x) = (slice::<T>(call.input(0)), slice::<T>(call.input(1)));
    let (means, rstds) = (slice::<T::Acc>(call.input(3)), slice::<T::Acc>(call.input(4)));
    let weight = call.scratch::<T::Acc>(0, dim);
    parameter(call.optional_input(2), T::Acc::ONE, weight);
    let weight = &*weight;
    let blocks = shape.rows.div_ceil(GRADIENT_ROWS);
    let partial = call.scratch::<T::Acc>(dim, 2 * blocks * dim);
    let sums = Ptr::of(partial);
    let dx = call.optional_output(0).map(Rows::<T>::new);
    let count = T::Acc::real(dim as f64);
    call.pool().run(
        blocks,
        #[inline(always)]
        |block| {
            // SAFETY: every block has its own sums.
            let (dweight, dbias) = unsafe { sums.slice_mut(2 * block * dim, 2 * dim) }.split_at_mut(dim);
            dweight.fill(T::Acc::ZERO);
            dbias.fill(T::Acc::ZERO);
            scratch::with(
                4 * dim,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    let (for_grad, rest) = room.split_at_mut(dim);
                    let (for_x, rest) = rest.split_at_mut(dim);
                    let (xhat, for_dx) = rest.split_at_mut(dim);
                    for row in block * GRADIENT_ROWS..((block + 1) * GRADIENT_ROWS).min(shape.rows) {
                        let range = row * dim..(row + 1) * dim;
                        let (grad, x) = (T::wide(&grad[range.clone()], for_grad), T::wide(&x[range], for_x));
                        let rstd = rstds[row];
                        for (xhat, &x) in xhat.iter_mut().zip(x) {
                            *xhat = (x - means[row]) * rstd;
                        }
                        let [of_grad, dot] = sums_and_add(grad, xhat, weight, dweight, dbias);
                        let Some(dx) = &dx else { continue };
                        let means = [of_grad / count, dot / count];
                        // SAFETY: every row belongs to one block.
                        let dx = unsafe { dx.part(row * dim, dim) };
                        T::write(
                            dx,
                            for_dx,
                            #[inline(always)]
                            |dx| combine(grad, xhat, weight, means, rstd, dx),
                        );
                    }
                },
            );
        },
    );
    for (position, part) in [(1, 0), (2, dim)] {
        if let Some(out) = call.optional_output(position) {
            row::sum_rows(call.pool(), partial, part..part + dim, 2 * dim, out);
        }
    }
}

/// `dx = rstd · (grad · weight − mean(grad · weight) − x̂ · mean(grad · weight · x̂))`.
#[inline(always)]
fn combine<R: Real>(grad: &[R], xhat: &[R], weight: &[R], [mean, dot]: [R; 2], rstd: R, dx: &mut [R]) {
    for (((dx, &g), &xhat), &w) in dx.iter_mut().zip(grad).zip(xhat).zip(weight) {
        *dx = rstd * (g * w - mean - xhat * dot);
    }
}

/// `Σ grad · weight` and `Σ grad · weight · x̂`; `grad · x̂` is added to `dweight` and `grad` to `dbias`.
#[inline(always)]
fn sums_and_add<R: Real>(grad: &[R], xhat: &[R], weight: &[R], dweight: &mut [R], dbias: &mut [R]) -> [R; 2] {
    for ((dbias, dweight), (&g, &xhat)) in dbias.iter_mut().zip(dweight).zip(grad.iter().zip(xhat)) {
        *dbias += g;
        *dweight = g.mul_add(xhat, *dweight);
    }
    let mut sums = Running::new(R::ZERO);
    sums.take(
        [grad, weight],
        R::ZERO,
        #[inline(always)]
        |sum, [g, w]| g.mul_add(w, sum),
    );
    let mut dots = Running::new(R::ZERO);
    dots.take(
        [grad, weight, xhat],
        R::ZERO,
        #[inline(always)]
        |sum, [g, w, x]| g.times(w).mul_add(x, sum),
    );
    [sums.sum(), dots.sum()]
}
