//! Kernels of the positions of extremes, over row-major inputs seen as `[outer, length, inner]`.

use elm_core::{Kernel, KernelCall};

use crate::element::{Ordered, is_nan};
use crate::view::{CallExt, Rows, slice};
use crate::with_element;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("argmax", |call| {
        with_element!(call.input(0).dtype, T => search::<T>(call, |a, b| a > b));
        Ok(())
    }),
    Kernel::new("argmin", |call| {
        with_element!(call.input(0).dtype, T => search::<T>(call, |a, b| a < b));
        Ok(())
    }),
];

/// Elements of one line that a task searches, and columns that a task keeps.
const PIECE: usize = 64 * 1024;
const COLUMNS: usize = 256;
/// Elements that are looked at together before anything is decided.
const CHUNK: usize = 64;

fn search<T: Ordered>(call: &KernelCall, better: impl Fn(T::Key, T::Key) -> bool + Sync) {
    let x = slice::<T>(call.input(0));
    let shape = call.input(0).shape();
    let (length, inner) = if call.attrs.is_given("axis") {
        let axis = call.attrs.axis("axis", shape.len());
        (shape[axis], shape[axis + 1..].iter().product())
    } else {
        (x.len(), 1)
    };
    if x.is_empty() {
        return;
    }
    if inner == 1 { along(call, x, length, &better) } else { across(call, x, length, inner, &better) }
}

/// NaN is better than any number, the first NaN than a later one.
#[inline(always)]
fn wins<K: PartialOrd + Copy>(x: K, held: K, better: &impl Fn(K, K) -> bool) -> bool {
    (better(x, held) | is_nan(x)) & !is_nan(held)
}

/// Dense lines, long ones in pieces whose winners are compared in order.
fn along<T: Ordered>(
    call: &KernelCall,
    x: &[T],
    length: usize,
    better: &(impl Fn(T::Key, T::Key) -> bool + Sync),
) {
    let pieces = length.div_ceil(PIECE);
    let mut winners = vec![(x[0].key(), 0); x.len() / length * pieces];
    let shared = crate::view::Ptr::of(&mut winners);
    call.pool().run_ranges(winners.len(), (PIECE / length).max(1), |range| {
        for index in range {
            let (line, from) = (index / pieces, index % pieces * PIECE);
            let piece = &x[line * length + from..line * length + (from + PIECE).min(length)];
            let (key, place) = best_of(piece, better);
            // SAFETY: every piece has its own winner.
            unsafe { shared.write(index as isize, (key, from + place)) };
        }
    });
    let out = Rows::<i32>::new(call.output(0));
    for (line, winners) in winners.chunks_exact(pieces).enumerate() {
        let best = winners
            .iter()
            .copied()
            .reduce(|held, next| if wins(next.0, held.0, better) { next } else { held });
        // SAFETY: this loop is alone.
        unsafe { out.part(line, 1)[0] = best.map_or(0, |(_, place)| place) as i32 };
    }
}

/// Most chunks hold nothing better than what was found; asking that of a whole chunk at once vectorizes.
fn best_of<T: Ordered>(x: &[T], better: &impl Fn(T::Key, T::Key) -> bool) -> (T::Key, usize) {
    let mut best = (x[0].key(), 0);
    for (number, chunk) in x.chunks(CHUNK).enumerate() {
        let held = best.0;
        if chunk.iter().fold(false, |any, x| any | better(x.key(), held) | is_nan(x.key())) {
            for (i, x) in chunk.iter().enumerate() {
                if wins(x.key(), best.0, better) {
                    best = (x.key(), number * CHUNK + i);
                }
            }
        }
    }
    best
}

/// Lines that lie side by side: rows of a block of columns are compared with the winners so far.
fn across<T: Ordered>(
    call: &KernelCall,
    x: &[T],
    length: usize,
    inner: usize,
    better: &(impl Fn(T::Key, T::Key) -> bool + Sync),
) {
    let out = Rows::<i32>::new(call.output(0));
    let blocks = inner.div_ceil(COLUMNS);
    let grain = (16 * 1024 / (length * inner.min(COLUMNS))).max(1);
    call.pool().run_ranges(x.len() / length / inner * blocks, grain, |range| {
        for task in range {
            let (outer, first) = (task / blocks, task % blocks * COLUMNS);
            let width = COLUMNS.min(inner - first);
            let row = |i: usize| {
                let start = (outer * length + i) * inner + first;
                &x[start..start + width]
            };
            let mut held = [x[0].key(); COLUMNS];
            held.iter_mut().zip(row(0)).for_each(|(held, x)| *held = x.key());
            let mut places = [0i32; COLUMNS];
            for i in 1..length {
                for ((held, place), x) in held.iter_mut().zip(&mut places).zip(row(i)) {
                    let key = x.key();
                    let win = wins(key, *held, better);
                    *held = if win { key } else { *held };
                    *place = if win { i as i32 } else { *place };
                }
            }
            // SAFETY: every block of columns belongs to one task.
            unsafe { out.part(outer * inner + first, width) }.copy_from_slice(&places[..width]);
        }
    });
}
