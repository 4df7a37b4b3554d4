use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::Real;
use crate::lines::{self, Running};
use crate::row::{self, RowShape};
use crate::scratch::with as with_scratch;
use crate::simd::{Slices, Vector};
use crate::view::{CallExt, Ptr, Rows, slice};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("rms_norm", forward).with_workspace(wide_weight),
    Kernel::new("rms_norm_backward", backward).with_workspace(partial_sums),
];

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => forward_typed::<T>(call));
    Ok(())
}

fn forward_typed<T: Slices>(call: &KernelCall) {
    let shape = RowShape::of(call.input(0).shape());
    let dim = shape.dim;
    let x = slice::<T>(call.input(0));
    let weight = call.scratch::<T::Acc>(0, dim);
    row::convert(call.input(1), weight);
    let weight = &*weight;
    let y = Rows::<T>::new(call.output(0));
    let rstd = call.optional_output(1).map(Rows::<T::Acc>::new);
    let eps = T::Acc::real(call.attrs.f64("eps"));
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            with_scratch(
                2 * dim,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    let (for_x, for_y) = room.split_at_mut(dim);
                    for row in rows {
                        let x = T::wide(&x[row * dim..(row + 1) * dim], for_x);
                        let squares = lines::dot(x, x);
                        let scale = T::Acc::ONE / (squares / T::Acc::real(dim as f64) + eps).sqrt();
                        // SAFETY: every row belongs to one task.
                        let y = unsafe { y.part(row * dim, dim) };
                        T::write(
                            y,
                            for_y,
                            #[inline(always)]
                            |y| {
                                if T::WIDE {
                                    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                                        *y = x * scale * w;
                                    }
                                    return;
                                }
                                for (y, &x) in y.iter_mut().zip(x) {
                                    *y = x * scale;
                                }
                                // The definition rounds to the input's dtype before the weight (two roundings in bf16).
                                T::round(y);
                                for (y, &w) in y.iter_mut().zip(weight) {
                                    *y = *y * w;
                                }
                            },
                        );
                        if let Some(rstd) = &rstd {
                            // SAFETY: as above.
                            unsafe { rstd.part(row, 1)[0] = scale };
                        }
                    }
                },
            );
        },
    );
}

/// Rows whose weight gradients are summed by one task before the tasks are summed in order: about 16 tasks where the
/// rows allow it, so that cores end together, and few enough partial sums to stay in a cache.
fn gradient_rows(shape: RowShape) -> usize {
    shape.rows.div_ceil(16).clamp(shape.grain().min(64), 64)
}

/// The weight in the accumulator.
fn wide_weight(
    inputs: &[Option<elm_core::View>],
    _: &[Option<elm_core::View>],
    _: &elm_core::Attrs,
) -> usize {
    inputs[0].as_ref().map_or(0, |x| RowShape::of(x.shape()).dim * x.dtype.accumulator().size())
}

/// The weight in the accumulator, then the partial sums of its gradient.
fn partial_sums(
    inputs: &[Option<elm_core::View>],
    _: &[Option<elm_core::View>],
    _: &elm_core::Attrs,
) -> usize {
    let Some(x) = &inputs[1] else { return 0 };
    let shape = RowShape::of(x.shape());
    (shape.rows.div_ceil(gradient_rows(shape)) + 1) * shape.dim * x.dtype.accumulator().size()
}

/// With `x̂ = x · rstd` and `g = grad · weight`: `dx = rstd · (g − x̂ · mean(g · x̂))`, `dweight = Σ grad · x̂`.
fn backward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(1).dtype, T => backward_typed::<T>(call));
    Ok(())
}

fn backward_typed<T: Slices>(call: &KernelCall) {
    let shape = RowShape::of(call.input(1).shape());
    let dim = shape.dim;
    let (grad, x) = (slice::<T>(call.input(0)), slice::<T>(call.input(1)));
    let rstd = slice::<T::Acc>(call.input(3));
    let weight = call.scratch::<T::Acc>(0, dim);
    row::convert(call.input(2), weight);
    let weight = &*weight;
    let dx = call.optional_output(0).map(Rows::<T>::new);
    let grain = gradient_rows(shape);
    let blocks = shape.rows.div_ceil(grain);
    let partial = call.scratch::<T::Acc>(dim, blocks * dim);
    let shared = Ptr::of(partial);
    call.pool().run_ranges(
        shape.rows,
        grain,
        #[inline(always)]
        |rows| {
            // SAFETY: every block of rows has its own partial sums.
            let sums = unsafe { shared.slice_mut(rows.start / grain * dim, dim) };
            sums.fill(T::Acc::ZERO);
            with_scratch(
                3 * dim,
                #[inline(always)]
                |room: &mut [T::Acc]| {
                    let (for_grad, rest) = room.split_at_mut(dim);
                    let (for_x, for_dx) = rest.split_at_mut(dim);
                    for row in rows {
                        let range = row * dim..(row + 1) * dim;
                        let (grad, x) = (T::wide(&grad[range.clone()], for_grad), T::wide(&x[range], for_x));
                        let scale = rstd[row];
                        let dot = dot_and_add(grad, x, weight, scale, sums);
                        let Some(dx) = &dx else { continue };
                        let mean = dot * scale / T::Acc::real(dim as f64);
                        let back = -(scale * scale * mean);
                        // SAFETY: every row belongs to one block.
                        let dx = unsafe { dx.part(row * dim, dim) };
                        T::write(
                            dx,
                            for_dx,
                            #[inline(always)]
                            |dx| combine(grad, x, weight, [scale, back], dx),
                        );
                    }
                },
            );
        },
    );
    if let Some(dweight) = call.optional_output(1) {
        row::sum_rows(call.pool(), partial, 0..dim, dim, dweight);
    }
}

/// `dx = scale · grad · weight + back · x`.
#[inline(always)]
fn combine<R: Real>(grad: &[R], x: &[R], weight: &[R], [scale, back]: [R; 2], dx: &mut [R]) {
    for (((dx, &g), &x), &w) in dx.iter_mut().zip(grad).zip(x).zip(weight) {
        *dx = (scale * g).mul_add(w, x * back);
    }
}

/// `Σ grad · x · weight`; `grad · x · scale` is added to `sums`.
#[inline(always)]
fn dot_and_add<R: Real>(grad: &[R], x: &[R], weight: &[R], scale: R, sums: &mut [R]) -> R {
    for ((sum, &g), &x) in sums.iter_mut().zip(grad).zip(x) {
        *sum = (g * x).mul_add(scale, *sum);
    }
    let mut dot = Running::new(R::ZERO);
    dot.take(
        [grad, x, weight],
        R::ZERO,
        #[inline(always)]
        |dot, [g, x, w]| g.times(x).mul_add(w, dot),
    );
    dot.sum()
}
