use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::{Float, Real};
use crate::row::RowShape;
use crate::view::{CallExt, Rows, slice, slice_mut};
use crate::{Element, with_float};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("rms_norm", forward),
    Kernel::new("rms_norm_backward", backward).with_workspace(partial_sums),
];

/// Rows whose weight gradients are summed by one task before the tasks are summed in order.
const GRADIENT_ROWS: usize = 64;

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => {
        with_float!(call.input(1).dtype, W => forward_typed::<T, W>(call))
    });
    Ok(())
}

fn forward_typed<T: Float, W: Float>(call: &KernelCall)
where
    W: Float,
{
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

fn partial_sums(
    inputs: &[Option<elm_core::View>],
    _: &[Option<elm_core::View>],
    _: &elm_core::Attrs,
) -> usize {
    let Some(x) = &inputs[1] else { return 0 };
    let shape = RowShape::of(x.shape());
    shape.rows.div_ceil(GRADIENT_ROWS) * shape.dim * 8
}

/// With `x̂ = x · rstd` and `g = grad · weight`: `dx = rstd · (g − x̂ · mean(g · x̂))`, `dweight = Σ grad · x̂`.
fn backward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(1).dtype, T => {
        with_float!(call.input(2).dtype, W => backward_typed::<T, W>(call))
    });
    Ok(())
}

fn backward_typed<T: Float, W: Float>(call: &KernelCall) {
    let shape = RowShape::of(call.input(1).shape());
    let (grad, x) = (slice::<T>(call.input(0)), slice::<T>(call.input(1)));
    let (weight, rstd) = (slice::<W>(call.input(2)), slice::<T::Acc>(call.input(3)));
    let dx = call.optional_output(0).map(Rows::<T>::new);
    let blocks = shape.rows.div_ceil(GRADIENT_ROWS);
    let wants_weight = call.optional_output(1).is_some();
    let partial = crate::view::Ptr::of(call.scratch::<T::Acc>(0, blocks * shape.dim));
    call.pool().run(blocks, |block| {
        // SAFETY: every block has its own row of partial sums.
        let sums = unsafe { partial.slice_mut(block * shape.dim, shape.dim) };
        sums.fill(T::Acc::ZERO);
        for row in block * GRADIENT_ROWS..((block + 1) * GRADIENT_ROWS).min(shape.rows) {
            let range = row * shape.dim..(row + 1) * shape.dim;
            let (grad, x, scale) = (&grad[range.clone()], &x[range], rstd[row]);
            let weights = || weight.iter().map(|w| T::Acc::from_f64(w.to_f64()));
            if wants_weight {
                for ((sum, g), x) in sums.iter_mut().zip(grad).zip(x) {
                    *sum += g.load() * (x.load() * scale);
                }
            }
            if let Some(dx) = &dx {
                let dot: T::Acc =
                    grad.iter().zip(x).zip(weights()).map(|((g, x), w)| g.load() * w * x.load()).sum();
                let mean = dot * scale / T::Acc::real(shape.dim as f64);
                // SAFETY: every row belongs to one block.
                let dx = unsafe { dx.part(row * shape.dim, shape.dim) };
                for (((dx, g), x), w) in dx.iter_mut().zip(grad).zip(x).zip(weights()) {
                    *dx = T::store(scale * (g.load() * w - x.load() * scale * mean));
                }
            }
        }
    });
    if let Some(dweight) = call.optional_output(1) {
        for (column, out) in slice_mut::<W>(dweight).iter_mut().enumerate() {
            // SAFETY: the pool has finished, nobody writes the sums.
            let sum: T::Acc =
                (0..blocks).map(|b| unsafe { partial.read((b * shape.dim + column) as isize) }).sum();
            *out = W::from_f64(sum.to_f64());
        }
    }
}
