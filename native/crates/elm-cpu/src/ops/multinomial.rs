use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use elm_core::{ErrorCode, Kernel, KernelCall, KernelError, View};

use crate::element::Float;
use crate::random::{ln64, words_from};
use crate::row::RowShape;
use crate::view::{CallExt, Ptr, Rows, slice};
use crate::with_float;

pub static KERNELS: &[Kernel] = &[Kernel::new("multinomial", run)
    .with_workspace(|inputs, _, _| elements(inputs) * size_of::<Arrival>())
    .with_cost(|inputs, _, _| elements(inputs) as u64 * 20)];

fn elements(inputs: &[Option<View>]) -> usize {
    inputs[0].as_ref().map_or(0, View::elements)
}

/// When a position comes in, and which one it is.
#[derive(Clone, Copy)]
struct Arrival {
    time: f64,
    position: u64,
}

fn run(call: &KernelCall) -> Result<(), KernelError> {
    let count = call.attrs.int("count") as usize;
    let bad = with_float!(call.input(0).dtype, T => draw::<T>(call, count));
    if bad == usize::MAX {
        return Ok(());
    }
    let enough = if call.attrs.bool("replacement") { 1 } else { count };
    let message = format!(
        "row {bad} of probabilities must hold finite numbers that are not negative, at least {enough} of them positive"
    );
    Err(KernelError { code: ErrorCode::InvalidArgument, message })
}

/// The first row that cannot be drawn from, or `usize::MAX`.
fn draw<T: Float>(call: &KernelCall, count: usize) -> usize {
    let shape = RowShape::of(call.input(0).shape());
    let replacement = call.attrs.bool("replacement");
    let (x, out) = (slice::<T>(call.input(0)), Rows::<i32>::new(call.output(0)));
    let scratch = Ptr::of(call.scratch::<Arrival>(0, x.len()));
    let first_bad = AtomicUsize::new(usize::MAX);
    call.pool().run_ranges(shape.rows, shape.grain(), |rows| {
        for row in rows {
            let p = x[row * shape.dim..(row + 1) * shape.dim].iter().map(|v| v.to_f64());
            // SAFETY: every row belongs to one task.
            let (out, scratch) =
                unsafe { (out.part(row * count, count), scratch.slice_mut(row * shape.dim, shape.dim)) };
            let valid = p.clone().all(|p| (0.0..f64::INFINITY).contains(&p));
            let start = row * if replacement { count } else { shape.dim };
            let words = words_from(call.attrs, start);
            let drawn = valid
                && if replacement { with(p, words, scratch, out) } else { without(p, words, scratch, out) };
            if !drawn {
                first_bad.fetch_min(row, Relaxed);
            }
        }
    });
    first_bad.into_inner()
}

/// Each draw is the first position whose running sum exceeds a random part of the sum.
fn with(
    p: impl Iterator<Item = f64>,
    words: impl Iterator<Item = u32>,
    running: &mut [Arrival],
    out: &mut [i32],
) -> bool {
    let mut sum = 0.0;
    for (running, p) in running.iter_mut().zip(p) {
        sum += p;
        running.time = sum;
    }
    if !(sum > 0.0 && sum.is_finite()) {
        return false;
    }
    for (out, word) in out.iter_mut().zip(words) {
        let target = f64::from(word >> 8) / 16_777_216.0 * sum;
        *out = running.partition_point(|running| running.time <= target) as i32;
    }
    true
}

/// A race of exponential clocks with rates `p`: the first `out.len()` to come in, in order.
fn without(
    p: impl Iterator<Item = f64>,
    words: impl Iterator<Item = u32>,
    race: &mut [Arrival],
    out: &mut [i32],
) -> bool {
    let mut running = 0;
    for (position, (arrival, (p, word))) in race.iter_mut().zip(p.zip(words)).enumerate() {
        let u = (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0);
        running += usize::from(p > 0.0);
        *arrival =
            Arrival { time: if p > 0.0 { -ln64(u) / p } else { f64::INFINITY }, position: position as u64 };
    }
    if running < out.len() {
        return false;
    }
    let order = |a: &Arrival, b: &Arrival| a.time.total_cmp(&b.time).then(a.position.cmp(&b.position));
    if out.len() < race.len() {
        race.select_nth_unstable_by(out.len() - 1, order);
    }
    let race = &mut race[..out.len()];
    race.sort_unstable_by(order);
    out.iter_mut().zip(race).for_each(|(out, arrival)| *out = arrival.position as i32);
    true
}
