use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::{Float, Real};
use crate::row::{self, RowShape, sum, sum2, sum3};
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

fn forward_typed<T: Float>(call: &KernelCall) {
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
    call.pool().run_ranges(shape.rows, shape.grain(), |rows| {
        for row in rows {
            let x = &x[row * dim..(row + 1) * dim];
            let mean = sum(x, |x| x.load()) / count;
            // Two passes: the difference of two large sums would lose the variance of rows far from 0.
            let variance = sum(x, |x| (x.load() - mean) * (x.load() - mean)) / count;
            let rstd = T::Acc::ONE / (variance + eps).sqrt();
            // SAFETY: every row belongs to one task.
            let y = unsafe { y.part(row * dim, dim) };
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = T::store(((x.load() - mean) * rstd).mul_add(*w, *b));
            }
            for (out, value) in [(&mean_out, mean), (&rstd_out, rstd)] {
                if let Some(out) = out {
                    // SAFETY: as above.
                    unsafe { out.part(row, 1)[0] = value };
                }
            }
        }
    });
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(1).dtype, T => backward_typed::<T>(call));
    Ok(())
}

/// With `x̂ = (x − mean) · rstd` and `g = grad · weight`: `dx = rstd · (g − mean(g) − x̂ · mean(g · x̂))`.
fn backward_typed<T: Float>(call: &KernelCall) {
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
    call.pool().run(blocks, |block| {
        // SAFETY: every block has its own sums.
        let (dweight, dbias) = unsafe { sums.slice_mut(2 * block * dim, 2 * dim) }.split_at_mut(dim);
        dweight.fill(T::Acc::ZERO);
        dbias.fill(T::Acc::ZERO);
        for row in block * GRADIENT_ROWS..((block + 1) * GRADIENT_ROWS).min(shape.rows) {
            let range = row * dim..(row + 1) * dim;
            let (grad, x, mean, rstd) = (&grad[range.clone()], &x[range], means[row], rstds[row]);
            for (((dweight, dbias), g), x) in dweight.iter_mut().zip(&mut *dbias).zip(grad).zip(x) {
                let g = g.load();
                *dweight += g * ((x.load() - mean) * rstd);
                *dbias += g;
            }
            let Some(dx) = &dx else { continue };
            // SAFETY: every row belongs to one block.
            let dx = unsafe { dx.part(row * dim, dim) };
            let g_mean = sum2(grad, weight, |g, w| g.load() * w) / count;
            let dot = sum3(grad, weight, x, |g, w, x| g.load() * w * ((x.load() - mean) * rstd)) / count;
            for (((dx, g), x), w) in dx.iter_mut().zip(grad).zip(x).zip(weight) {
                let xhat = (x.load() - mean) * rstd;
                *dx = T::store(rstd * (g.load() * *w - g_mean - xhat * dot));
            }
        }
    });
    for (position, part) in [(1, 0), (2, dim)] {
        if let Some(out) = call.optional_output(position) {
            row::sum_rows(call.pool(), partial, part..part + dim, 2 * dim, out);
        }
    }
}
