//! Kernels of the ops that choose between elements.

use elm_core::{DType, Kernel, KernelCall};

use crate::function::Param;
use crate::map::map;
use crate::view::{CallExt, Run};

pub static KERNELS: &[Kernel] =
    &[Kernel::new("where", choose).strided(), Kernel::new("clamp", clamp).strided()];

fn choose(call: &KernelCall) -> Run {
    let name = match call.output(0).dtype.size() {
        1 => "where_1",
        2 => "where_2",
        4 => "where_4",
        _ => "where_8",
    };
    map::<4>(call, "select", name, &[], &[])
}

/// Bounds in the accumulator. A missing one is an end of the dtype, which no element lies beyond.
fn clamp(call: &KernelCall) -> Run {
    let dtype = call.input(0).dtype;
    let bound = |name| call.attrs.is_given(name).then(|| call.attrs.f64(name));
    let run = |low: &dyn Param, high: &dyn Param| map::<2>(call, "select", "clamp", &[dtype], &[low, high]);
    if dtype.is_float() {
        let low = bound("min").map_or(f64::NEG_INFINITY, |low| dtype.round(low));
        let high = bound("max").map_or(f64::INFINITY, |high| dtype.round(high));
        return if dtype == DType::F64 { run(&low, &high) } else { run(&(low as f32), &(high as f32)) };
    }
    let [least, greatest] = ends(dtype);
    // Conversions to integers saturate.
    let low = bound("min").map_or(least, |low| (low.ceil() as i64).clamp(least, greatest));
    let high = bound("max").map_or(greatest, |high| (high.floor() as i64).clamp(least, greatest));
    run(&low, &high)
}

fn ends(dtype: DType) -> [i64; 2] {
    let bits = dtype.size() as u32 * 8;
    match (dtype.is_signed(), bits) {
        (true, bits) => [i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)],
        (false, bits) => [0, (1 << bits) - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_integers_are_theirs() {
        assert_eq!(ends(DType::I64), [i64::MIN, i64::MAX]);
        assert_eq!(ends(DType::I8), [-128, 127]);
        assert_eq!(ends(DType::U8), [0, 255]);
        assert_eq!(ends(DType::U32), [0, i64::from(u32::MAX)]);
    }
}
