use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::{Float, Real};
use crate::row::RowShape;
use crate::simd::Slices;
use crate::scratch::with as with_scratch;
use crate::view::{CallExt, Ptr, Rows, slice};
use crate::{Element, with_float};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("rms_norm", forward),
    Kernel::new("rms_norm_backward", backward).with_workspace(partial_sums),
];

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => {
        with_float!(call.input(1).dtype, W => forward_typed::<T, W>(call))
    });
    Ok(())
}

fn forward_typed<T: Float, W: Float>(call: &KernelCall) {
    let shape = RowShape::of(call.input(0).shape());
    let (x, weight) = (slice::<T>(call.input(0)), slice::<W>(call.input(1)));
    let y = Rows::<T>::new(call.output(0));
    let rstd = call.optional_output(1).map(Rows::<T::Acc>::new);
    let eps = T::Acc::real(call.attrs.f64("eps"));
    call.pool().run_ranges(shape.rows, shape.grain(), |rows| {
        for row in rows {
            let x = &x[row * shape.dim..(row + 1) * shape.dim];
            let scale = T::Acc::ONE / (sum_of_squares(x) / T::Acc::real(shape.dim as f64) + eps).sqrt();
            // SAFETY: every row belongs to one task.
            let y = unsafe { y.part(row * shape.dim, shape.dim) };
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                // The definition rounds to the input's dtype before the weight (two roundings in bf16).
                let normalized = T::store(x.load() * scale);
                *y = T::store(normalized.load() * T::Acc::from_f64(w.to_f64()));
            }
            if let Some(rstd) = &rstd {
                // SAFETY: as above.
                unsafe { rstd.part(row, 1)[0] = scale };
            }
        }
    });
}

/// Eight running sums in a fixed order: fast, and the same at any number of threads.
fn sum_of_squares<T: Float>(x: &[T]) -> T::Acc {
    let mut sums = [T::Acc::ZERO; 16];
    let chunks = x.chunks_exact(16);
    let mut tail = T::Acc::ZERO;
    for v in chunks.remainder() {
        tail += v.load() * v.load();
    }
    for chunk in chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            let v = v.load();
            *sum = v.mul_add(v, *sum);
        }
    }
    sums.into_iter().sum::<T::Acc>() + tail
}

/// Rows whose weight gradients are summed by one task before the tasks are summed in order: about 16 tasks where the
/// rows allow it, so that cores end together, and few enough partial sums to stay in a cache.
fn gradient_rows(shape: RowShape) -> usize {
    shape.rows.div_ceil(16).clamp(shape.grain().min(64), 64)
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
    with_float!(call.input(1).dtype, T => {
        with_float!(call.input(2).dtype, W => backward_typed::<T, W>(call))
    });
    Ok(())
}

fn backward_typed<T: Slices, W: Float>(call: &KernelCall) {
    let shape = RowShape::of(call.input(1).shape());
    let dim = shape.dim;
    let (grad, x) = (slice::<T>(call.input(0)), slice::<T>(call.input(1)));
    let rstd = slice::<T::Acc>(call.input(3));
    let weight = call.scratch::<T::Acc>(0, dim);
    for (wide, w) in weight.iter_mut().zip(slice::<W>(call.input(2))) {
        *wide = T::Acc::from_f64(w.to_f64());
    }
    let weight = &*weight;
    let dx = call.optional_output(0).map(Rows::<T>::new);
    let grain = gradient_rows(shape);
    let blocks = shape.rows.div_ceil(grain);
    let partial = Ptr::of(call.scratch::<T::Acc>(dim, blocks * dim));
    call.pool().run_ranges(shape.rows, grain, |rows| {
        // SAFETY: every block of rows has its own partial sums.
        let sums = unsafe { partial.slice_mut(rows.start / grain * dim, dim) };
        sums.fill(T::Acc::ZERO);
        with_scratch(3 * dim, |room: &mut [T::Acc]| {
            let (for_grad, rest) = room.split_at_mut(dim);
            let (for_x, wide_dx) = rest.split_at_mut(dim);
            for row in rows {
                let range = row * dim..(row + 1) * dim;
                let (grad, x) = (T::wide(&grad[range.clone()], for_grad), T::wide(&x[range], for_x));
                let scale = rstd[row];
                let dot = dot_and_add(grad, x, weight, scale, sums);
                if let Some(dx) = &dx {
                    let mean = dot * scale / T::Acc::real(dim as f64);
                    let back = scale * scale * mean;
                    for (((dx, &g), &x), &w) in wide_dx.iter_mut().zip(grad).zip(x).zip(weight) {
                        *dx = (scale * g).mul_add(w, -(x * back));
                    }
                    // SAFETY: every row belongs to one block.
                    T::narrow(wide_dx, unsafe { dx.part(row * dim, dim) });
                }
            }
        });
    });
    if let Some(dweight) = call.optional_output(1) {
        let out = Rows::<W>::new(dweight);
        call.pool().run_ranges(dim, 512, |columns| {
            // SAFETY: the pool has finished the rows; every column belongs to one task.
            unsafe {
                add_blocks(partial.at(columns.start), blocks, dim, out.part(columns.start, columns.len()))
            };
        });
    }
}

/// `Σ grad · x · weight` in sixteen running sums, and `grad · x · scale` added to `sums`.
fn dot_and_add<R: Real>(grad: &[R], x: &[R], weight: &[R], scale: R, sums: &mut [R]) -> R {
    let mut lanes = [R::ZERO; LANES];
    let whole = grad.len() / LANES * LANES;
    let chunks = grad.chunks_exact(LANES).zip(x.chunks_exact(LANES)).zip(weight.chunks_exact(LANES));
    for (((grad, x), weight), sums) in chunks.zip(sums.chunks_exact_mut(LANES)) {
        for i in 0..LANES {
            let product = grad[i] * x[i];
            lanes[i] = product.mul_add(weight[i], lanes[i]);
            sums[i] = product.mul_add(scale, sums[i]);
        }
    }
    let mut tail = R::ZERO;
    for i in whole..grad.len() {
        let product = grad[i] * x[i];
        tail = product.mul_add(weight[i], tail);
        sums[i] = product.mul_add(scale, sums[i]);
    }
    lanes.into_iter().sum::<R>() + tail
}

/// Running sums side by side.
const LANES: usize = 16;

/// Adds the partial sums of all blocks in order, `out.len()` columns at once.
///
/// # Safety
/// `partial` points into `blocks` rows of `dim` sums that nobody writes.
unsafe fn add_blocks<R: Real, W: Element>(partial: Ptr<R>, blocks: usize, dim: usize, out: &mut [W]) {
    with_scratch(out.len(), |sums: &mut [R]| {
        sums.fill(R::ZERO);
        for block in 0..blocks {
            // SAFETY: the caller's promise.
            let line = unsafe { partial.slice(block * dim, out.len()) };
            sums.iter_mut().zip(line).for_each(|(sum, &value)| *sum += value);
        }
        out.iter_mut().zip(&*sums).for_each(|(out, sum)| *out = W::from_f64(sum.to_f64()));
    });
}
