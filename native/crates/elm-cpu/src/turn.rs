//! Transposes: cache lines are read once and written once, whatever lies between the rows.

use std::mem::MaybeUninit;

use crate::stream_store::{LINE, Stores, prefetch};
use crate::view::Ptr;

/// An unsigned integer of an element's width, which moves through vectors.
pub trait Word: Copy + Send {
    /// Elements in 16 bytes.
    const SIDE: usize = 16 / size_of::<Self>();
    /// Transposes `2 · SIDE` rows of `SIDE` elements.
    ///
    /// # Safety
    /// Rows of the source lie `step` elements apart, those of the target `down`; all of them may be accessed.
    unsafe fn turn_block(target: *mut Self, down: isize, source: *const Self, step: isize);
}

/// Bytes of a target row that are gathered where its lines do not start with a line of memory.
const GATHERED: usize = 8 * LINE;

/// Bytes by which the walk along a source row asks for it in advance.
const AHEAD: usize = 4 * LINE;

/// Elements of a target row that [`turn`] writes at a time: a line, or more where lines are cut anyway.
pub fn band<T: Word>(stores: Stores, target: Ptr<T>, down: isize) -> usize {
    let aligned = |bytes: usize| bytes.is_multiple_of(LINE);
    let on_lines = aligned(target.raw() as usize) && aligned(down.unsigned_abs() * size_of::<T>());
    if on_lines || !stores.past_caches() { LINE / size_of::<T>() } else { GATHERED / size_of::<T>() }
}

#[repr(align(64))]
struct Room(#[allow(dead_code)] [u8; GATHERED * LINE]);

/// `target[j · down + i] = source[i · step + j]` for `i < width` and `j < lines`, where `width` is at most [`band`].
///
/// Walks along the rows of the source, which the processor sees coming.
///
/// # Safety
/// All these elements lie inside live storages that are not the same, and nobody else touches the targets.
#[inline(always)]
pub unsafe fn turn<T: Word>(
    stores: Stores,
    (target, down): (Ptr<T>, isize),
    (source, step): (Ptr<T>, isize),
    [width, lines]: [usize; 2],
) {
    let side = LINE / size_of::<T>();
    let mut room = MaybeUninit::<Room>::uninit();
    let room: *mut T = room.as_mut_ptr().cast();
    debug_assert!(width * size_of::<T>() <= GATHERED);
    for j in (0..lines).step_by(side) {
        let (target, source, count) =
            (target.moved(j as isize * down), source.moved(j as isize), side.min(lines - j));
        if !stores.past_caches() {
            // SAFETY: the caller's promise.
            unsafe { turn_part(target.raw(), down, source.raw(), step, [width, count]) };
            continue;
        }
        for i in 0..width {
            prefetch(source.moved(i as isize * step).raw().wrapping_byte_add(AHEAD));
        }
        // SAFETY: the room holds `side` rows of `width` elements; the rest is the caller's promise.
        unsafe {
            turn_part(room, width as isize, source.raw(), step, [width, count]);
            for line in 0..count {
                let gathered = std::slice::from_raw_parts(room.add(line * width), width);
                stores.copy(gathered, target.moved(line as isize * down).slice_mut(0, width));
            }
        }
    }
}

/// By blocks, and element by element where none fits.
///
/// # Safety
/// As for [`turn`].
#[inline(always)]
unsafe fn turn_part<T: Word>(
    target: *mut T,
    down: isize,
    source: *const T,
    step: isize,
    [width, lines]: [usize; 2],
) {
    let (tall, wide) = (2 * T::SIDE, T::SIDE);
    let (whole_width, whole_lines) = (width / tall * tall, lines / wide * wide);
    let [to, from] = [down, step];
    // Few rows of the source at a time: where their steps are powers of two, their lines meet in one set of the cache.
    for i in (0..whole_width).step_by(tall) {
        for j in (0..whole_lines).step_by(wide) {
            // SAFETY: the caller's promise; a block is a part.
            unsafe {
                let target = target.offset(j as isize * to + i as isize);
                T::turn_block(target, to, source.offset(i as isize * from + j as isize), from);
            }
        }
    }
    for j in 0..lines {
        for i in if j < whole_lines { whole_width } else { 0 }..width {
            let [i, j] = [i as isize, j as isize];
            // SAFETY: the caller's promise.
            unsafe { *target.offset(j * to + i) = *source.offset(i * from + j) };
        }
    }
}

/// Two blocks of 16 bytes a row side by side, one in each half of a vector.
///
/// Taking elements of row `k` and row `k + SIDE/2` in turn shuffles a block as a deck of cards; `log₂ SIDE` times
/// over, that is its transpose.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
macro_rules! word {
    ($T:ty, $side:literal, $low:ident, $high:ident) => {
        impl Word for $T {
            #[inline(always)]
            unsafe fn turn_block(target: *mut $T, down: isize, source: *const $T, step: isize) {
                use std::arch::x86_64::*;
                // SAFETY: the caller's promise; the build demands AVX2.
                unsafe {
                    let mut rows: [__m256i; $side] = std::array::from_fn(|k| {
                        let half = |k: usize| _mm_loadu_si128(source.offset(k as isize * step).cast());
                        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(half(k)), half(k + $side))
                    });
                    let mut width = 1;
                    while width < $side {
                        rows = std::array::from_fn(|k| {
                            let (a, b) = (rows[k / 2], rows[k / 2 + $side / 2]);
                            if k % 2 == 0 { $low(a, b) } else { $high(a, b) }
                        });
                        width *= 2;
                    }
                    for (j, row) in rows.into_iter().enumerate() {
                        _mm256_storeu_si256(target.offset(j as isize * down).cast(), row);
                    }
                }
            }
        }
    };
}

/// Row by row; the compiler picks the instructions.
#[cfg(not(all(target_arch = "x86_64", target_feature = "avx2")))]
macro_rules! word {
    ($T:ty, $side:literal, $low:ident, $high:ident) => {
        impl Word for $T {
            #[inline(always)]
            unsafe fn turn_block(target: *mut $T, down: isize, source: *const $T, step: isize) {
                for j in 0..$side {
                    for i in 0..2 * $side {
                        // SAFETY: the caller's promise.
                        unsafe { *target.offset(j * down + i) = *source.offset(i * step + j) };
                    }
                }
            }
        }
    };
}
word!(u8, 16, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8);
word!(u16, 8, _mm256_unpacklo_epi16, _mm256_unpackhi_epi16);
word!(u32, 4, _mm256_unpacklo_epi32, _mm256_unpackhi_epi32);
word!(u64, 2, _mm256_unpacklo_epi64, _mm256_unpackhi_epi64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream_store::fence;
    use crate::stream_store::tests::BOTH;

    fn check<T: Word + PartialEq + std::fmt::Debug>(value: impl Fn(usize) -> T) {
        for [width, lines] in
            [[64, 64], [1, 1], [3, 70], [16, 33], [17, 16], [50, 129], [32, 16], [8, 4], [4, 2]]
        {
            for (stores, pad) in BOTH.into_iter().zip([0, 3]).chain(BOTH.into_iter().zip([5, 0])) {
                let (down, step) = (width + pad, lines + pad);
                let mut source: Vec<T> = (0..width * step).map(&value).collect();
                let mut target = vec![value(99); lines * down + 1];
                let (to, from) = (Ptr::of(&mut target), Ptr::of(&mut source));
                // SAFETY: the buffers hold all these elements; a band is at least a line, cut here to the width.
                unsafe {
                    for i in (0..width).step_by(LINE / size_of::<T>()) {
                        let width = (width - i).min(LINE / size_of::<T>());
                        let source = (from.at(i * step), step as isize);
                        turn(stores, (to.at(i), down as isize), source, [width, lines]);
                    }
                }
                fence();
                for j in 0..lines {
                    for i in 0..width {
                        assert_eq!(target[j * down + i], source[i * step + j], "{width} {lines} at {i} {j}");
                    }
                    assert!(target[j * down + width..(j + 1) * down].iter().all(|v| *v == value(99)));
                }
            }
        }
    }

    #[test]
    fn elements_of_every_width_change_places() {
        check(|i| (i * 7 + i / 251) as u8);
        check(|i| (i * 31) as u16);
        check(|i| i as u32);
        check(|i| i as u64 * 0x1_0000_0001);
    }
}
