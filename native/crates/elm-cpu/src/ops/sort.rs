//! Kernels of sorting along an axis.
//!
//! An element and its position become one unsigned number that sorts as they do: first a key in the order of the
//! dtype, below it the position. No two are equal, so an unstable sort of them is stable.

use elm_core::{Attrs, Kernel, KernelCall, View};

use crate::element::Ordered;
use crate::lines::Lines;
use crate::view::{CallExt, Ptr, ptr};
use crate::with_element;

pub static KERNELS: &[Kernel] = &[
    Kernel::new("sort", |call| {
        let length = call.input(0).shape()[axis(call)];
        with_element!(call.input(0).dtype, T => order::<T>(call, length, call.attrs.bool("descending")));
        Ok(())
    })
    .strided()
    .with_cost(cost),
    Kernel::new("topk", |call| {
        let keep = call.attrs.int("k") as usize;
        with_element!(call.input(0).dtype, T => order::<T>(call, keep, call.attrs.bool("largest")));
        Ok(())
    })
    .strided()
    .with_cost(cost),
];

fn axis(call: &KernelCall) -> usize {
    call.attrs.axis("axis", call.input(0).shape().len())
}

/// Some 20 ns an element for lines of a usual length.
fn cost(inputs: &[Option<View>], _: &[Option<View>], _: &Attrs) -> u64 {
    inputs.iter().flatten().map(|x| x.elements() as u64 * 20).sum()
}

/// A key in unsigned order; NaN has the greatest of its width.
trait Rank: Copy {
    /// The greatest rank of the type.
    const LAST: u64;
    fn rank(self) -> u64;
    fn is_nan(self) -> bool;
}

macro_rules! integer {
    ($($t:ident as $u:ident),*) => { $(
        impl Rank for $t {
            const LAST: u64 = $u::MAX as u64;
            /// The least integer of the type becomes 0.
            #[inline(always)] fn rank(self) -> u64 { u64::from((self as $u) ^ ($t::MIN as $u)) }
            #[inline(always)] fn is_nan(self) -> bool { false }
        }
    )* };
}
integer!(i64 as u64, i32 as u32, u32 as u32, i8 as u8, u8 as u8);

macro_rules! float {
    ($($t:ident as $u:ident),*) => { $(
        impl Rank for $t {
            const LAST: u64 = $u::MAX as u64;
            /// Bits of positive numbers rise with them, those of negative ones fall; adding 0 makes −0 into 0.
            #[inline(always)]
            fn rank(self) -> u64 {
                let bits = (self + 0.0).to_bits();
                let sign = 1 << ($u::BITS - 1);
                u64::from(if bits & sign == 0 { bits | sign } else { !bits })
            }
            #[inline(always)] fn is_nan(self) -> bool { $t::is_nan(self) }
        }
    )* };
}
float!(f64 as u64, f32 as u32);

fn order<T: Ordered<Key: Rank>>(call: &KernelCall, keep: usize, descending: bool) {
    // Ranks of up to 32 bits leave room for a position in 64.
    if T::Key::LAST <= u64::from(u32::MAX) {
        packed::<T, u64>(call, keep, descending, |rank, i| rank << 32 | i, |packed| packed as u32);
    } else {
        let pack = |rank, i| u128::from(rank) << 32 | u128::from(i);
        packed::<T, u128>(call, keep, descending, pack, |packed| packed as u32);
    }
}

fn packed<T: Ordered<Key: Rank>, P: Ord + Copy>(
    call: &KernelCall,
    keep: usize,
    descending: bool,
    pack: impl Fn(u64, u64) -> P + Sync,
    unpack: impl Fn(P) -> u32 + Sync,
) {
    let (x, values, places) = (call.input(0), call.optional_output(0), call.optional_output(1));
    let length = x.shape()[axis(call)];
    let Some(shape) = values.or(places).map(|view| &view.layout) else { return };
    let lines = Lines::new(axis(call), [&x.layout, shape]);
    let [step, down] = lines.steps;
    let from = ptr::<T>(x);
    let (values, places): (Option<Ptr<T>>, Option<Ptr<i32>>) = (values.map(ptr), places.map(ptr));
    lines.run(call.pool(), length, |range| {
        let mut packed: Vec<P> = Vec::with_capacity(length);
        for line in range {
            let [start, at] = lines.start(line);
            packed.clear();
            packed.extend((0..length).map(|i| {
                // SAFETY: lines stay inside the input's view.
                let key = unsafe { from.read(start + i as isize * step) }.key();
                let rank = if descending { T::Key::LAST - key.rank() } else { key.rank() };
                pack(if key.is_nan() { T::Key::LAST } else { rank }, i as u64)
            }));
            if keep > 0 && keep < length {
                packed.select_nth_unstable(keep - 1);
            }
            packed[..keep].sort_unstable();
            for (i, &entry) in packed[..keep].iter().enumerate() {
                let place = unpack(entry);
                let slot = at + i as isize * down;
                // SAFETY: places come from the line; every output line belongs to one task.
                unsafe {
                    if let Some(values) = values {
                        values.write(slot, from.read(start + place as isize * step));
                    }
                    if let Some(places) = places {
                        places.write(slot, place as i32);
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_rise_with_the_numbers() {
        let floats = [f64::NEG_INFINITY, -1e300, -1.0, -1e-310, 0.0, 1e-310, 1.0, 1e300, f64::INFINITY];
        assert!(floats.windows(2).all(|pair| pair[0].rank() < pair[1].rank()));
        assert_eq!((-0.0f32).rank(), 0.0f32.rank());
        let integers = [i64::MIN, -(1 << 53) - 1, -(1 << 53), -1, 0, 1, (1 << 53), (1 << 53) + 1, i64::MAX];
        assert!(integers.windows(2).all(|pair| pair[0].rank() < pair[1].rank()));
        assert_eq!([i8::MIN.rank(), i8::MAX.rank()], [0, i8::LAST]);
        assert!(f32::INFINITY.rank() < f32::LAST && f32::LAST - f32::NEG_INFINITY.rank() < f32::LAST);
    }
}
