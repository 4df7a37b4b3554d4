//! Kernels of softmax, its logarithm and their gradients, along any axis.
//!
//! A line is loaded into a buffer of the accumulator's type, changed there and stored once.

use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::{Float, Real};
use crate::lines::{self, Lines, fold};
use crate::view::{CallExt, ptr};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("softmax", |call| with_float!(call.input(0).dtype, T => forward::<T>(call, softmax)))
        .strided()
        .with_cost(exponential_cost),
    Kernel::new("log_softmax", |call| with_float!(call.input(0).dtype, T => forward::<T>(call, log_softmax)))
        .strided()
        .with_cost(exponential_cost),
    Kernel::new(
        "softmax_backward",
        |call| with_float!(call.input(0).dtype, T => backward::<T>(call, softmax_backward)),
    )
    .strided(),
    Kernel::new(
        "log_softmax_backward",
        |call| with_float!(call.input(0).dtype, T => backward::<T>(call, log_softmax_backward)),
    )
    .strided()
    .with_cost(exponential_cost),
];

/// About 2 ns an element.
fn exponential_cost(_: &[Option<View>], outputs: &[Option<View>], _: &Attrs) -> u64 {
    outputs.iter().flatten().map(|y| y.elements() as u64 * 2).sum()
}

/// NaN shows in the exponentials, so it need not be found here.
fn largest<R: Real>(line: &[R]) -> R {
    fold(line, -R::INFINITY, |held, x| if x > held { x } else { held }, |a, b| if b > a { b } else { a })
}

fn sum<R: Real>(line: &[R]) -> R {
    fold(line, R::ZERO, |sum, x| sum + x, |a, b| a + b)
}

fn softmax<R: Real>(line: &mut [R]) {
    let most = largest(line);
    line.iter_mut().for_each(|x| *x = (*x - most).exp());
    let scale = R::ONE / sum(line);
    line.iter_mut().for_each(|x| *x = *x * scale);
}

fn log_softmax<R: Real>(line: &mut [R]) {
    let most = largest(line);
    let log = fold(line, R::ZERO, |sum, x| sum + (x - most).exp(), |a, b| a + b).ln();
    line.iter_mut().for_each(|x| *x = *x - most - log);
}

/// `dx = y · (grad − Σ grad · y)`, in the place of `grad`.
fn softmax_backward<R: Real>(grad: &mut [R], y: &[R]) {
    let dot = lines::dot(grad, y);
    grad.iter_mut().zip(y).for_each(|(g, &y)| *g = y * (*g - dot));
}

/// `dx = grad − e^y · Σ grad`, in the place of `grad`.
fn log_softmax_backward<R: Real>(grad: &mut [R], y: &[R]) {
    let sum = sum(grad);
    grad.iter_mut().zip(y).for_each(|(g, &y)| *g = y.exp().mul_add(-sum, *g));
}

fn forward<T: Float>(call: &KernelCall, change: fn(&mut [T::Acc])) -> Result<(), KernelError> {
    let (x, y) = (call.input(0), call.output(0));
    let axis = call.attrs.axis("axis", x.shape().len());
    let length = x.shape()[axis];
    let along = Lines::new(axis, [&x.layout, &y.layout]);
    let (from, to, [step, down]) = (ptr::<T>(x), ptr::<T>(y), along.steps);
    along.run(call.pool(), length, |range| {
        let mut line = vec![T::Acc::ZERO; length];
        for index in range {
            let [start, at] = along.start(index);
            // SAFETY: lines stay inside the views; every output line belongs to one task.
            unsafe {
                lines::load(from, start, step, &mut line);
                change(&mut line);
                lines::store(to, at, down, &line);
            }
        }
    });
    Ok(())
}

fn backward<T: Float>(call: &KernelCall, change: fn(&mut [T::Acc], &[T::Acc])) -> Result<(), KernelError> {
    let (grad, y, dx) = (call.input(0), call.input(1), call.output(0));
    let axis = call.attrs.axis("axis", grad.shape().len());
    let length = grad.shape()[axis];
    let along = Lines::new(axis, [&grad.layout, &y.layout, &dx.layout]);
    let (from, also, to, [step, other, down]) = (ptr::<T>(grad), ptr::<T>(y), ptr::<T>(dx), along.steps);
    along.run(call.pool(), length, |range| {
        let (mut line, mut second) = (vec![T::Acc::ZERO; length], vec![T::Acc::ZERO; length]);
        for index in range {
            let [start, second_start, at] = along.start(index);
            // SAFETY: lines stay inside the views; every output line belongs to one task.
            unsafe {
                lines::load(from, start, step, &mut line);
                lines::load(also, second_start, other, &mut second);
                change(&mut line, &second);
                lines::store(to, at, down, &line);
            }
        }
    });
    Ok(())
}
