use elm_core::{DType, Kernel, KernelCall};

use crate::function::Param;
use crate::grid::Grid;
use crate::radix::{self, Pairs};
use crate::random::{stream, threshold};
use crate::view::{CallExt, Run, address};

pub static KERNELS: &[Kernel] = &[
    Kernel::new("uniform", uniform),
    Kernel::new("normal", normal),
    Kernel::new("truncated_normal", truncated_normal),
    Kernel::new("bernoulli", bernoulli),
    Kernel::new("randint", randint),
    Kernel::new("permutation", permutation).with_workspace(|_, outputs, _| {
        let n = outputs[0].as_ref().map_or(0, elm_core::View::elements);
        radix::bytes(n)
    }),
];

/// Four elements a thread.
fn draw(call: &KernelCall, name: &'static str, dtypes: &[DType], rest: &[&dyn Param]) -> Run {
    let (gpu, y) = (call.gpu(), call.output(0));
    let ([seed, counter], n) = (stream(call.attrs), y.elements());
    let (target, count) = (address(y), n as u64);
    let mut args: Vec<&dyn Param> = vec![&target, &seed, &counter, &count];
    args.extend(rest);
    gpu.launch("random", name, dtypes, Grid::over(n.div_ceil(4), &gpu.limits), &args)
}

fn uniform(call: &KernelCall) -> Run {
    let (low, high) = (call.attrs.f64("low"), call.attrs.f64("high"));
    let dtype = call.output(0).dtype;
    let args: [&dyn Param; 4] = [&low, &(high - low), &dtype.round(low), &below(dtype, high)];
    draw(call, "uniform", &[dtype], &args)
}

/// The largest number of a dtype below `end`, or one close to it.
fn below(dtype: DType, end: f64) -> f64 {
    let mut gap = (end.abs() * dtype.epsilon() / 2.0).max(f64::from(f32::MIN_POSITIVE));
    let mut value = dtype.round(end);
    while value >= end {
        value = dtype.round(end - gap);
        gap *= 2.0;
    }
    value
}

fn normal(call: &KernelCall) -> Run {
    let (mean, std) = (call.attrs.f64("mean"), call.attrs.f64("std"));
    draw(call, "normal", &[call.output(0).dtype], &[&mean, &std])
}

fn truncated_normal(call: &KernelCall) -> Run {
    let [mean, std, low, high] = ["mean", "std", "low", "high"].map(|name| call.attrs.f64(name));
    // To the right of 0, `1 − Φ` would lose the digits that Φ keeps to the left.
    let mirrored = low > 0.0;
    let (low, high) = if mirrored { (-high, -low) } else { (low, high) };
    let phi = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    let (start, mass) = (phi(low), phi(high) - phi(low));
    let args: [&dyn Param; 7] = [&low, &high, &start, &mass, &mean, &std, &u32::from(mirrored)];
    draw(call, "truncated_normal", &[call.output(0).dtype], &args)
}

fn bernoulli(call: &KernelCall) -> Run {
    draw(call, "bernoulli", &[], &[&threshold(call.attrs.f64("p"))])
}

fn randint(call: &KernelCall) -> Run {
    let (low, high) = (call.attrs.int("low"), call.attrs.int("high"));
    draw(call, "randint", &[], &[&low, &((high - low) as u64)])
}

/// Sorts the numbers by their words; the sort is stable, so equal words stay in order.
fn permutation(call: &KernelCall) -> Run {
    let (gpu, y) = (call.gpu(), call.output(0));
    let ([seed, counter], n) = (stream(call.attrs), y.elements());
    let pairs = Pairs::new(call.workspace, n);
    let args: [&dyn Param; 5] = [&pairs.keys(), &address(y), &seed, &counter, &(n as u64)];
    gpu.launch("random", "permutation_keys", &[], Grid::over(n.div_ceil(4), &gpu.limits), &args)?;
    pairs.sort(gpu, address(y), 4)
}
