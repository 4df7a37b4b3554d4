use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

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
    let (weight, y, rstd) = (call.input(1), call.output(0), call.optional_output(1));
    with_float!(call.input(0).dtype, T => norm::<T, T>(call, Normed { added: None, weight, y, rstd }));
    Ok(())
}

/// The tensors of a forward call beside `x`, its first input.
pub(super) struct Normed<'a> {
    /// What is added to `x` before it is normalized, and the sum.
    pub added: Option<[&'a View; 2]>,
    pub weight: &'a View,
    pub y: &'a View,
    pub rstd: Option<&'a View>,
}

/// Normalizes rows of `S`, the dtype of `x` and the sum, to rows of `Y`, the dtype of `y` and what is added.
pub(super) fn norm<S: Slices, Y: Slices<Acc = S::Acc>>(call: &KernelCall, views: Normed) {
    let shape = RowShape::of(call.input(0).shape());
    let dim = shape.dim;
    let x = slice::<S>(call.input(0));
    let added = views.added.map(|[branch, sum]| (slice::<Y>(branch), Rows::<S>::new(sum)));
    let weight = call.scratch::<S::Acc>(0, dim);
    row::convert(views.weight, weight);
    let weight = &*weight;
    let y = Rows::<Y>::new(views.y);
    let rstd = views.rstd.map(Rows::<S::Acc>::new);
    let eps = S::Acc::real(call.attrs.f64("eps"));
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            with_scratch(
                3 * dim,
                #[inline(always)]
                |room: &mut [S::Acc]| {
                    let (for_x, rest) = room.split_at_mut(dim);
                    let (for_branch, for_y) = rest.split_at_mut(dim);
                    for row in rows {
                        let range = row * dim..(row + 1) * dim;
                        let mut x = &x[range.clone()];
                        if let Some((branch, sum)) = &added {
                            // SAFETY: every row belongs to one task.
                            let sum = unsafe { sum.part(row * dim, dim) };
                            let terms = [S::wide(x, for_x), Y::wide(&branch[range], for_branch)];
                            S::write(
                                sum,
                                for_y,
                                #[inline(always)]
                                |sum| add(terms, sum),
                            );
                            x = sum;
                        }
                        let x = S::wide(x, for_x);
                        let squares = lines::dot(x, x);
                        let scale = S::Acc::ONE / (squares / S::Acc::real(dim as f64) + eps).sqrt();
                        // SAFETY: every row belongs to one task.
                        let y = unsafe { y.part(row * dim, dim) };
                        Y::write(
                            y,
                            for_y,
                            #[inline(always)]
                            |y| {
                                if S::WIDE {
                                    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                                        *y = x * scale * w;
                                    }
                                    return;
                                }
                                for (y, &x) in y.iter_mut().zip(x) {
                                    *y = x * scale;
                                }
                                // The definition rounds to the input's dtype before the weight (two roundings in bf16).
                                S::round(y);
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

/// `sum = a + b`.
#[inline(always)]
fn add<R: Real>([a, b]: [&[R]; 2], sum: &mut [R]) {
    for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
        *sum = a + b;
    }
}

/// Rows whose weight gradients are summed by one task before the tasks are summed in order: about 16 tasks where the
/// rows allow it, so that cores end together, and few enough partial sums to stay in a cache.
fn gradient_rows(shape: RowShape) -> usize {
    shape.rows.div_ceil(16).clamp(shape.grain().min(64), 64)
}

/// The weight in the accumulator.
pub(super) fn wide_weight(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    inputs[0].as_ref().map_or(0, |x| RowShape::of(x.shape()).dim * x.dtype.accumulator().size())
}

/// The weight in the accumulator, then the partial sums of its gradient.
pub(super) fn partial_sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    let Some(x) = &inputs[1] else { return 0 };
    let shape = RowShape::of(x.shape());
    (shape.rows.div_ceil(gradient_rows(shape)) + 1) * shape.dim * x.dtype.accumulator().size()
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    let dweight = call.optional_output(1);
    with_float!(call.input(1).dtype, T => gradient::<T, T>(call, [None, dweight]));
    Ok(())
}

/// With `x̂ = x · rstd` and `g = grad · weight`: `dx = rstd · (g − x̂ · mean(g · x̂))`, `dweight = Σ grad · x̂`.
///
/// `S` is the dtype of `x` and `dx`, `G` that of `grad` and `dbranch`, which is `dx` rounded to it. A fifth input, the
/// cotangent of `x` itself, is added to `dx`.
pub(super) fn gradient<S: Slices, G: Slices<Acc = S::Acc>>(
    call: &KernelCall,
    [dbranch, dweight]: [Option<&View>; 2],
) {
    let shape = RowShape::of(call.input(1).shape());
    let dim = shape.dim;
    let (grad, x) = (slice::<G>(call.input(0)), slice::<S>(call.input(1)));
    let rstd = slice::<S::Acc>(call.input(3));
    let through = call.optional_input(4).map(slice::<S>);
    let weight = call.scratch::<S::Acc>(0, dim);
    row::convert(call.input(2), weight);
    let weight = &*weight;
    let dx = call.optional_output(0).map(Rows::<S>::new);
    let dbranch = dbranch.map(Rows::<G>::new);
    let grain = gradient_rows(shape);
    let blocks = shape.rows.div_ceil(grain);
    let partial = call.scratch::<S::Acc>(dim, blocks * dim);
    let shared = Ptr::of(partial);
    call.pool().run_ranges(
        shape.rows,
        grain,
        #[inline(always)]
        |rows| {
            // SAFETY: every block of rows has its own partial sums.
            let sums = unsafe { shared.slice_mut(rows.start / grain * dim, dim) };
            sums.fill(S::Acc::ZERO);
            with_scratch(
                4 * dim,
                #[inline(always)]
                |room: &mut [S::Acc]| {
                    let (for_grad, rest) = room.split_at_mut(dim);
                    let (for_x, rest) = rest.split_at_mut(dim);
                    let (for_dx, for_through) = rest.split_at_mut(dim);
                    for row in rows {
                        let range = row * dim..(row + 1) * dim;
                        let (grad, x) =
                            (G::wide(&grad[range.clone()], for_grad), S::wide(&x[range.clone()], for_x));
                        let scale = rstd[row];
                        let dot = dot_and_add(grad, x, weight, scale, sums);
                        let Some(dx) = &dx else { continue };
                        let mean = dot * scale / S::Acc::real(dim as f64);
                        let back = -(scale * scale * mean);
                        let through = through.map(|through| S::wide(&through[range], for_through));
                        // SAFETY: every row belongs to one block.
                        let dx = unsafe { dx.part(row * dim, dim) };
                        S::write(
                            dx,
                            for_dx,
                            #[inline(always)]
                            |dx| {
                                combine(grad, x, weight, [scale, back], dx);
                                if let Some(through) = through {
                                    dx.iter_mut().zip(through).for_each(|(dx, &through)| *dx += through);
                                }
                            },
                        );
                        if let Some(dbranch) = &dbranch {
                            // SAFETY: as above.
                            let dbranch = unsafe { dbranch.part(row * dim, dim) };
                            G::narrow(S::wide(dx, for_dx), dbranch);
                        }
                    }
                },
            );
        },
    );
    if let Some(dweight) = dweight {
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
