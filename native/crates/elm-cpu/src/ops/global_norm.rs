use elm_core::{Attrs, Kernel, KernelCall, KernelError, View};

use crate::element::Float;
use crate::lists::Blocks;
use crate::view::{CallExt, Ptr, slice_mut};
use crate::{Element, with_float};

pub static KERNELS: &[Kernel] = &[Kernel::new("global_norm", run).strided().with_workspace(partial_sums)];

fn partial_sums(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> usize {
    Blocks::<1>::of(inputs, 0).tasks() * size_of::<f64>()
}

/// Every block has a sum of its own; they are added in order.
fn run(call: &KernelCall) -> Result<(), KernelError> {
    let blocks = Blocks::<1>::of(call.inputs, 0);
    let sums = call.scratch::<f64>(0, blocks.tasks());
    sums.fill(0.0);
    if let Some(Some(first)) = call.inputs.first() {
        with_float!(first.dtype, T => add_squares::<T>(call, &blocks, Ptr::of(sums)));
    }
    slice_mut::<f32>(call.output(0))[0] = sums.iter().sum::<f64>().sqrt() as f32;
    Ok(())
}

fn add_squares<T: Float>(call: &KernelCall, blocks: &Blocks<1>, sums: Ptr<f64>) {
    blocks.run(call, |task, block| {
        // SAFETY: the list has the dtype `T`, and every task has its own sum.
        unsafe {
            let sum = if block.is_straight() {
                sum_of_squares(block.slice::<T>(0))
            } else {
                (0..block.len).map(|n| block.read::<T>(0, n).load().to_f64().powi(2)).sum()
            };
            sums.write(task as isize, sums.read(task as isize) + sum);
        }
    });
}

/// Running sums side by side, combined in a fixed order.
fn sum_of_squares<T: Float>(x: &[T]) -> f64 {
    let mut sums = [0.0f64; 16];
    let chunks = x.chunks_exact(16);
    let tail: f64 = chunks.remainder().iter().map(|x| x.load().to_f64().powi(2)).sum();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            let x = x.load().to_f64();
            *sum = x.mul_add(x, *sum);
        }
    }
    sums.into_iter().sum::<f64>() + tail
}
