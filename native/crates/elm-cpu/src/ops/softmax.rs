//! Kernels of softmax, its logarithm and their gradients, along any axis.
//!
//! A line is computed in the accumulator's type and rounded once.

use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::Real;
use crate::lines::{self, largest, map_lines};
use crate::simd::Slices;
use crate::view::CallExt;
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("softmax", |call| with_float!(call.input(0).dtype, T => by_line::<T>(call, softmax)))
        .strided()
        .with_cost(exponential_cost),
    Kernel::new("log_softmax", |call| with_float!(call.input(0).dtype, T => by_line::<T>(call, log_softmax)))
        .strided()
        .with_cost(exponential_cost),
    Kernel::new(
        "softmax_backward",
        |call| with_float!(call.input(0).dtype, T => by_line::<T>(call, softmax_backward)),
    )
    .strided(),
    Kernel::new(
        "log_softmax_backward",
        |call| with_float!(call.input(0).dtype, T => by_line::<T>(call, log_softmax_backward)),
    )
    .strided()
    .with_cost(exponential_cost),
];

/// About 2 ns an element.
fn exponential_cost(_: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    outputs.iter().flatten().map(|y| y.elements() as u64 * 2).sum()
}

/// Lines of the call, changed by `f(line, other, out)`.
fn by_line<T: Slices>(
    call: &KernelCall,
    f: impl Fn(&[T::Acc], &[T::Acc], &mut [T::Acc]) + Sync,
) -> Result<(), KernelError> {
    let (x, out) = (call.input(0), call.output(0));
    let axis = call.attrs.axis("axis", x.shape().len());
    map_lines::<T>(call.pool(), axis, x, call.optional_input(1), out, f);
    Ok(())
}

#[inline(always)]
fn softmax<R: Real>(x: &[R], _: &[R], y: &mut [R]) {
    let most = largest(x);
    let scale = R::ONE
        / lines::map_and_sum(
            x,
            y,
            #[inline(always)]
            |x| (x - most).exp_below(),
        );
    for y in y {
        *y = *y * scale;
    }
}

#[inline(always)]
fn log_softmax<R: Real>(x: &[R], _: &[R], y: &mut [R]) {
    let most = largest(x);
    let log = lines::sum_of(
        x,
        #[inline(always)]
        |x| (x - most).exp_below(),
    )
    .ln();
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x - most - log;
    }
}

/// `dx = y · (grad − Σ grad · y)`.
#[inline(always)]
fn softmax_backward<R: Real>(grad: &[R], y: &[R], dx: &mut [R]) {
    let dot = lines::dot(grad, y);
    for ((dx, &g), &y) in dx.iter_mut().zip(grad).zip(y) {
        *dx = y * (g - dot);
    }
}

/// `dx = grad − e^y · Σ grad`.
#[inline(always)]
fn log_softmax_backward<R: Real>(grad: &[R], y: &[R], dx: &mut [R]) {
    let sum = lines::sum(grad);
    for ((dx, &g), &y) in dx.iter_mut().zip(grad).zip(y) {
        *dx = y.exp_below().mul_add(-sum, g);
    }
}
