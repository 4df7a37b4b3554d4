use elm_core::{DType, Kernel, KernelCall, KernelError, bf16, f16};

use crate::element::Float;
use crate::quantized::{Quantized, UNIT, pack};
use crate::simd::Slices;
use crate::view::{CallExt, Rows, slice};

pub static KERNELS: &[Kernel] = &[Kernel::new("quantize", quantize), Kernel::new("dequantize", dequantize)];

/// Numbers that one task reads.
const GRAIN: usize = 16 * 1024;
/// The smallest magnitude of a scale.
const LEAST_SCALE: f32 = 1e-7;
/// The largest group.
const LARGEST: usize = 128;

fn quantize(call: &KernelCall) -> Result<(), KernelError> {
    match call.input(0).dtype {
        DType::F32 => quantize_typed::<f32>(call),
        DType::BF16 => quantize_typed::<bf16>(call),
        DType::F16 => quantize_typed::<f16>(call),
        other => unreachable!("signatures admit no {other} here"),
    }
    Ok(())
}

fn quantize_typed<T: Slices<Acc = f32>>(call: &KernelCall) {
    let [bits, group] = ["bits", "group"].map(|name| call.attrs.int(name) as usize);
    let most = ((1u32 << bits) - 1) as f32;
    let weights = slice::<T>(call.input(0));
    let codes = Rows::<u32>::new(call.output(0));
    let [scales, biases] = [1, 2].map(|position| Rows::<T>::new(call.output(position)));
    let words = group / UNIT * bits;
    call.pool().run_ranges(weights.len() / group, GRAIN / group, |groups| {
        let mut room = [0.0; LARGEST];
        for at in groups {
            let weights = T::wide(&weights[at * group..(at + 1) * group], &mut room);
            let (scale, bias) = fit(weights, most);
            // SAFETY: every group belongs to one task.
            let codes = unsafe { codes.part(at * words, words) };
            for (codes, weights) in codes.chunks_exact_mut(bits).zip(weights.as_chunks::<UNIT>().0) {
                let code = |w: f32| ((w - bias) / scale).round_ties_even().clamp(0.0, most) as i32 as u32;
                pack(&weights.map(code), bits, codes);
            }
            // SAFETY: as above.
            unsafe {
                scales.part(at, 1)[0] = T::store(scale);
                biases.part(at, 1)[0] = T::store(bias);
            }
        }
    });
}

/// Scale and bias such that 0 and the extreme of larger magnitude are among the numbers that codes stand for.
fn fit(weights: &[f32], most: f32) -> (f32, f32) {
    let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
    let high = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let step = ((high - low) / most).max(LEAST_SCALE);
    let (scale, edge) = if low.abs() > high.abs() { (step, low) } else { (-step, high) };
    let at_edge = (edge / scale).round_ties_even();
    if at_edge == 0.0 { (scale, 0.0) } else { (edge / at_edge, edge) }
}

fn dequantize(call: &KernelCall) -> Result<(), KernelError> {
    match call.input(1).dtype {
        DType::F32 => dequantize_from::<f32>(call),
        DType::BF16 => dequantize_from::<bf16>(call),
        DType::F16 => dequantize_from::<f16>(call),
        other => unreachable!("signatures admit no {other} here"),
    }
    Ok(())
}

fn dequantize_from<S: Slices<Acc = f32>>(call: &KernelCall) {
    match call.output(0).dtype {
        DType::F32 => dequantize_to::<S, f32>(call),
        DType::BF16 => dequantize_to::<S, bf16>(call),
        DType::F16 => dequantize_to::<S, f16>(call),
        other => unreachable!("the shape rule admits no {other} here"),
    }
}

fn dequantize_to<S: Slices<Acc = f32>, Y: Float<Acc = f32> + Slices>(call: &KernelCall) {
    let [bits, group] = ["bits", "group"].map(|name| call.attrs.int(name) as usize);
    let weights = Quantized::<S>::new([0, 1, 2].map(|i| call.input(i)), bits, group);
    let dim = weights.dim;
    let out = Rows::<Y>::new(call.output(0));
    let rows = call.output(0).elements().checked_div(dim).unwrap_or(0);
    call.pool().run_ranges(rows, GRAIN / dim.max(1), |rows| {
        let mut room = [0.0f32; LARGEST];
        for row in rows {
            for start in (0..dim).step_by(LARGEST) {
                let part = &mut room[..LARGEST.min(dim - start)];
                weights.read(row, start, part);
                // SAFETY: every row belongs to one task.
                Y::narrow(part, unsafe { out.part(row * dim + start, part.len()) });
            }
        }
    });
}
