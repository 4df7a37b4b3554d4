use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::Element;
use crate::row::RowShape;
use crate::simd::Slices;
use crate::softmax_loss::{Loss, Sums};
use crate::view::{CallExt, Ptr, Rows, slice, slice_mut};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("cross_entropy", forward).with_workspace(partial_sums).with_cost(cost),
    Kernel::new("cross_entropy_backward", backward).with_cost(cost),
];

/// One exponential a nanosecond.
fn cost(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> u64 {
    inputs.iter().flatten().map(View::elements).max().unwrap_or(0) as u64
}

fn partial_sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    let shape = inputs[0].as_ref().map(|logits| RowShape::of(logits.shape()));
    shape.map_or(0, |shape| shape.rows.div_ceil(shape.grain()) * size_of::<Sums>())
}

fn forward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(0).dtype, T => forward_typed::<T>(call))
}

fn forward_typed<T: Slices>(call: &KernelCall) -> Result<(), KernelError> {
    let shape = RowShape::of(call.input(0).shape());
    let (logits, targets) = (slice::<T>(call.input(0)), slice::<i32>(call.input(1)));
    let loss = Loss::of(call.attrs, shape.dim);
    loss.check(targets)?;
    let lse = call.optional_output(3).map(Rows::<T::Acc>::new);
    let tasks = shape.rows.div_ceil(shape.grain());
    let partial = call.scratch::<Sums>(0, tasks);
    let sums = Ptr::of(partial);
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            let task = rows.start / shape.grain();
            let mut total = Sums::default();
            for row in rows {
                let (value, added) = loss.row(&logits[row * shape.dim..(row + 1) * shape.dim], targets[row]);
                total.add(added);
                if let Some(lse) = &lse {
                    // SAFETY: every row belongs to one task.
                    unsafe { lse.part(row, 1)[0] = value };
                }
            }
            // SAFETY: every task has its own sums.
            unsafe { sums.write(task as isize, total) };
        },
    );
    store_losses::<T::Acc>(call, partial);
    Ok(())
}

/// Adds the sums in order and stores `loss`, `ce` and `z`.
pub fn store_losses<R: Element>(call: &KernelCall, partial: &[Sums]) {
    let mut total = Sums::default();
    partial.iter().for_each(|&sums| total.add(sums));
    for (position, value) in [total.ce + total.z, total.ce, total.z].into_iter().enumerate() {
        if let Some(output) = call.optional_output(position) {
            slice_mut::<R>(output)[0] = R::from_f64(value);
        }
    }
}

fn backward(call: &KernelCall) -> Result<(), KernelError> {
    with_float!(call.input(1).dtype, T => backward_typed::<T>(call))
}

fn backward_typed<T: Slices>(call: &KernelCall) -> Result<(), KernelError> {
    let shape = RowShape::of(call.input(1).shape());
    let grad = slice::<T::Acc>(call.input(0))[0];
    let (logits, targets) = (slice::<T>(call.input(1)), slice::<i32>(call.input(2)));
    let lse = slice::<T::Acc>(call.input(3));
    let loss = Loss::of(call.attrs, shape.dim);
    loss.check(targets)?;
    let out = Rows::<T>::new(call.output(0));
    call.pool().run_ranges(
        shape.rows,
        shape.grain(),
        #[inline(always)]
        |rows| {
            for row in rows {
                let range = row * shape.dim..(row + 1) * shape.dim;
                // SAFETY: every row belongs to one task.
                let out = unsafe { out.part(range.start, shape.dim) };
                loss.gradient(&logits[range], targets[row], lse[row], grad, out);
            }
        },
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Pool;
    use crate::testing::{Tensor, call};
    use elm_core::{DType, ErrorCode, sample};

    #[test]
    fn a_target_that_is_no_class_is_named() {
        let pool = Pool::new(2);
        for bad in [5.0, -1.0] {
            let targets = Tensor::of(DType::I32, &[2, 3], |i| if i == 4 { bad } else { -100.0 });
            let logits = Tensor::noise(DType::F32, &[2, 3, 5], 1);
            let scalar = Tensor::of(DType::F32, &[], |_| 1.0);
            let lse = Tensor::noise(DType::F32, &[2, 3], 2);
            let hidden = Tensor::noise(DType::F32, &[6, 4], 1);
            let weight = Tensor::noise(DType::F32, &[5, 4], 1);
            let mut flat = targets.clone();
            flat.layout = elm_core::Layout::contiguous(&[6]);
            let outcomes = [
                call(
                    "cross_entropy",
                    &sample(&[]),
                    &mut [Some(logits.clone()), Some(targets.clone())],
                    &pool,
                ),
                call(
                    "cross_entropy_backward",
                    &sample(&[]),
                    &mut [Some(scalar), Some(logits), Some(targets), Some(lse)],
                    &pool,
                ),
                call(
                    "linear_cross_entropy",
                    &sample(&[]),
                    &mut [Some(hidden), Some(weight), Some(flat)],
                    &pool,
                ),
            ];
            for outcome in outcomes {
                let error = outcome.err().expect("the target is refused");
                assert_eq!(error.code, ErrorCode::IndexOutOfRange);
                let named = [format!("got {bad} "), "position 4 ".into(), "5 classes".into()];
                assert!(named.iter().all(|part| error.message.contains(part)), "{}", error.message);
            }
        }
    }
}
