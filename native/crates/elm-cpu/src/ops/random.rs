use elm_core::{Kernel, KernelCall, KernelError};

use crate::element::{Bool, Float, Real};
use crate::inverse_normal::Truncated;
use crate::random::{GROUP, for_groups, normals, threshold, words_from};
use crate::view::{CallExt, Rows, slice_mut};
use crate::{Element, with_float};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("uniform", uniform).with_cost(|_, outputs, _| elements(outputs) * 2),
    Kernel::new("normal", normal).with_cost(|_, outputs, _| elements(outputs) * 4),
    Kernel::new("truncated_normal", truncated_normal).with_cost(|_, outputs, _| elements(outputs) * 10),
    Kernel::new("bernoulli", bernoulli).with_cost(|_, outputs, _| elements(outputs) * 2),
    Kernel::new("randint", randint).with_cost(|_, outputs, _| elements(outputs) * 2),
    Kernel::new("permutation", permutation)
        .with_workspace(|_, outputs, _| elements(outputs) as usize * 8)
        .with_cost(|_, outputs, _| elements(outputs) * 40),
];

fn elements(outputs: &[Option<elm_core::View>]) -> u64 {
    outputs[0].as_ref().map_or(0, |y| y.elements() as u64)
}

/// Fills the output, `GROUP` elements from as many words.
fn fill<T: Element>(call: &KernelCall, f: impl Fn(&[u32; GROUP]) -> [T; GROUP] + Sync) {
    let len = call.output(0).elements();
    let out = Rows::<T>::new(call.output(0));
    for_groups(call.pool(), call.attrs, len, |first, words| {
        let count = GROUP.min(len - first);
        // SAFETY: every group belongs to one task.
        unsafe { out.part(first, count) }.copy_from_slice(&f(words)[..count]);
    });
}

fn uniform(call: &KernelCall) -> Result<(), KernelError> {
    let (low, high) = (call.attrs.f64("low"), call.attrs.f64("high"));
    with_float!(call.output(0).dtype, T => {
        type A = <T as Float>::Acc;
        let (start, span) = (A::real(low), A::real(high - low));
        let (bottom, top) = (T::from_f64(low).load(), below::<T>(high).load());
        let unit = |word: u32| A::from_f64(f64::from(word >> 8) * (1.0 / 16_777_216.0));
        fill(call, |words| words.map(|word| {
            let value = T::store(unit(word).mul_add(span, start)).load();
            let value = if value > top { top } else { value };
            T::store(if value < bottom { bottom } else { value })
        }));
    });
    Ok(())
}

/// The largest `T` below `end`, or one close to it.
fn below<T: Float>(end: f64) -> T {
    let mut gap = (end.abs() * T::DTYPE.epsilon() / 2.0).max(f64::from(f32::MIN_POSITIVE));
    let mut value = T::from_f64(end);
    while value.to_f64() >= end {
        value = T::from_f64(end - gap);
        gap *= 2.0;
    }
    value
}

fn normal(call: &KernelCall) -> Result<(), KernelError> {
    let (mean, std) = (call.attrs.f64("mean"), call.attrs.f64("std"));
    with_float!(call.output(0).dtype, T => {
        type A = <T as Float>::Acc;
        let (mean, std) = (A::real(mean), A::real(std));
        fill(call, |words| {
            normals(words).map(|z| T::store(std.mul_add(A::from_f64(f64::from(z)), mean)))
        });
    });
    Ok(())
}

fn truncated_normal(call: &KernelCall) -> Result<(), KernelError> {
    let [mean, std, low, high] = ["mean", "std", "low", "high"].map(|name| call.attrs.f64(name));
    let truncated = Truncated::new(low, high);
    with_float!(call.output(0).dtype, T => {
        fill(call, |words| truncated.values(words).map(|z| T::from_f64(std.mul_add(z, mean))));
    });
    Ok(())
}

fn bernoulli(call: &KernelCall) -> Result<(), KernelError> {
    let below = threshold(call.attrs.f64("p"));
    fill(call, |words| words.map(|word| Bool::new(word >> 8 < below)));
    Ok(())
}

fn randint(call: &KernelCall) -> Result<(), KernelError> {
    let (low, high) = (call.attrs.int("low"), call.attrs.int("high"));
    let span = (high - low) as u64;
    fill(call, |words| words.map(|word| (low + ((u64::from(word) * span) >> 32) as i64) as i32));
    Ok(())
}

/// Sorts word and number as one integer, so equal words stay in order.
fn permutation(call: &KernelCall) -> Result<(), KernelError> {
    let out = slice_mut::<i32>(call.output(0));
    let keys = call.scratch::<u64>(0, out.len());
    for (i, (key, word)) in keys.iter_mut().zip(words_from(call.attrs, 0)).enumerate() {
        *key = u64::from(word) << 32 | i as u64;
    }
    keys.sort_unstable();
    out.iter_mut().zip(keys).for_each(|(y, key)| *y = *key as u32 as i32);
    Ok(())
}
