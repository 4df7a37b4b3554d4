use elm_core::{DType, Kernel, KernelCall, KernelError, bf16, f16};

use crate::element::{Float, Real};
use crate::lists::{Blocks, scalar};

pub static KERNELS: &[Kernel] = &[Kernel::new("accumulate", run).strided()];

/// Scalar inputs before the lists.
const FIXED: usize = 1;

fn run(call: &KernelCall) -> Result<(), KernelError> {
    let tensors = &call.inputs[FIXED..];
    let (Some(Some(into)), Some(Some(from))) = (tensors.first(), tensors.last()) else { return Ok(()) };
    match (into.dtype, from.dtype) {
        (DType::F64, _) => typed::<f64, f64>(call),
        (DType::F32, DType::BF16) => typed::<f32, bf16>(call),
        (DType::F32, DType::F16) => typed::<f32, f16>(call),
        (DType::F32, _) => typed::<f32, f32>(call),
        (DType::BF16, _) => typed::<bf16, bf16>(call),
        (DType::F16, _) => typed::<f16, f16>(call),
        (other, _) => unreachable!("signatures admit no {other} here"),
    }
    Ok(())
}

fn typed<A: Float, B: Float<Acc = A::Acc>>(call: &KernelCall) {
    let weight = A::Acc::real(f64::from(scalar(call, 0)));
    let sum = |a: A, b: B| A::store(b.load().mul_add(weight, a.load()));
    Blocks::<2>::of(call.inputs, FIXED).run(call, |_, block| {
        // SAFETY: the dtypes of the lists are those of `A` and `B`; every element belongs to one block.
        unsafe {
            if block.is_straight() {
                let (into, from) = (block.slice_mut::<A>(0), block.slice::<B>(1));
                into.iter_mut().zip(from).for_each(|(a, &b)| *a = sum(*a, b));
            } else {
                for n in 0..block.len {
                    block.write(0, n, sum(block.read::<A>(0, n), block.read::<B>(1, n)));
                }
            }
        }
    });
}
