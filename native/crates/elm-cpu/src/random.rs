//! From the words of Philox to numbers of a distribution.
//!
//! Every step is a fused multiply-add, a division, a root or a choice, all exactly rounded, so that any device that
//! follows the same steps gets the same bits.

use elm_core::{Attrs, philox};

use crate::Pool;
use crate::nd::GRAIN;

/// Blocks that are computed side by side; their lanes fill a vector.
const LANES: usize = 8;
/// Words of them.
pub const GROUP: usize = 4 * LANES;

/// Calls `body(first, words)` for every group of `GROUP` elements of a call with `len` of them: `words[i]` is the word
/// of element `first + i`. Groups run side by side.
pub fn for_groups(pool: &Pool, attrs: &Attrs, len: usize, body: impl Fn(usize, &[u32; GROUP]) + Sync) {
    let (seed, counter) = (attrs.int("seed") as u64, attrs.int("counter") as u64);
    pool.run_ranges(len.div_ceil(GROUP), GRAIN / GROUP, |groups| {
        for group in groups {
            body(group * GROUP, &blocks(seed, counter.wrapping_add((group * LANES) as u64)));
        }
    });
}

/// The words of `LANES` blocks from `counter` on, in the order of the elements.
#[inline]
fn blocks(seed: u64, counter: u64) -> [u32; GROUP] {
    let words = philox::blocks::<LANES>(seed, counter);
    std::array::from_fn(|i| words[i % 4][i / 4])
}

/// The words of elements `start`, `start + 1`, ….
pub fn words_from(attrs: &Attrs, start: usize) -> impl Iterator<Item = u32> {
    let (seed, counter) = (attrs.int("seed") as u64, attrs.int("counter") as u64);
    let block = move |i: usize| philox::block(seed, counter.wrapping_add(i as u64));
    (start / 4..).flat_map(block).skip(start % 4)
}

/// The least whole number `t` such that `word >> 8 < t` has probability `p`: then 24 bits over 2²⁴ are below `p`.
pub fn threshold(p: f64) -> u32 {
    (p * 16_777_216.0).ceil() as u32
}

/// Normal deviates by Box and Muller, two from two words. Step by step over all pairs, so that the loops vectorize.
#[inline]
pub fn normals(words: &[u32; GROUP]) -> [f32; GROUP] {
    const PAIRS: usize = GROUP / 2;
    let u: [f32; PAIRS] = std::array::from_fn(|i| ((words[2 * i] >> 8) + 1) as i32 as f32);
    let turns: [f32; PAIRS] = std::array::from_fn(|i| (words[2 * i + 1] >> 8) as i32 as f32);
    let (mut sines, mut cosines) = ([0.0; PAIRS], [0.0; PAIRS]);
    for i in 0..PAIRS {
        let radius = (-2.0 * ln(u[i] * (1.0 / 16_777_216.0))).sqrt();
        let [sin, cos] = sin_cos_turns(turns[i] * (1.0 / 16_777_216.0));
        (sines[i], cosines[i]) = (radius * sin, radius * cos);
    }
    std::array::from_fn(|i| if i % 2 == 0 { cosines[i / 2] } else { sines[i / 2] })
}

/// `ln x` for normal positive `x`, within 2 units in the last place.
///
/// `x = 2ᵉ · m` with `m` of `[√½, √2)`; with `s = (m − 1) / (m + 1)` it is
/// `e · ln 2 + 2s · (1 + s²/3 + s⁴/5 + …)`, whose remainder after `s¹⁰/11` is below 2⁻²⁹.
#[inline(always)]
fn ln(x: f32) -> f32 {
    // Subtracting the bits of √½ moves numbers below √2 · 2ᵉ to exponent e.
    const ROOT_HALF: u32 = 0x3F35_04F3;
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF);
    let e = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007F_FFFF) + ROOT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let p = z.mul_add(1.0 / 11.0, 1.0 / 9.0);
    let p = z.mul_add(p, 1.0 / 7.0);
    let p = z.mul_add(p, 1.0 / 5.0);
    let p = z.mul_add(p, 1.0 / 3.0);
    let tail = (2.0 * s * z).mul_add(p, e * LN2_LOW);
    e.mul_add(LN2_HIGH, (2.0f32).mul_add(s, tail))
}

/// ln 2 in two parts; the first has few enough bits that its product with an exponent is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `[sin, cos]` of `t` full turns, `t` of `[0, 1)`, within 2 units in the last place.
///
/// The nearest quarter turn is taken off exactly; what is left, at most an eighth, goes into the Taylor series of
/// `sin(πf/2)` and `cos(πf/2)`, whose remainders are below 2⁻²⁸.
#[inline(always)]
fn sin_cos_turns(t: f32) -> [f32; 2] {
    /// `(π/2)ⁿ / n!`, n from 1 to 10.
    const C: [f32; 10] = [
        1.570_796_4,
        1.233_700_5,
        0.645_964_1,
        0.253_669_5,
        0.079_692_63,
        0.020_863_48,
        4.681_754e-3,
        9.192_602_7e-4,
        1.604_412e-4,
        2.520_204_2e-5,
    ];
    /// What the first coefficient loses as an f32.
    const C1_LOW: f32 = -4.371_139e-8;
    let quarters = t * 4.0;
    let quarter = (quarters + 0.5).floor();
    let f = quarters - quarter;
    let z = f * f;
    let p = z.mul_add(C[8], -C[6]);
    let p = z.mul_add(p, C[4]);
    let p = z.mul_add(p, -C[2]);
    let sin = f.mul_add(C[0], (f * z).mul_add(p, f * C1_LOW));
    let p = z.mul_add(-C[9], C[7]);
    let p = z.mul_add(p, -C[5]);
    let p = z.mul_add(p, C[3]);
    let p = z.mul_add(p, -C[1]);
    let cos = z.mul_add(p, 1.0);
    let quarter = quarter as i32;
    let (a, b) = if quarter & 1 == 0 { (sin, cos) } else { (cos, sin) };
    let sin = if quarter & 2 == 0 { a } else { -a };
    let cos = if (quarter + 1) & 2 == 0 { b } else { -b };
    [sin, cos]
}

/// `ln x` for normal positive `x` as in [`ln`], in f64: the remainder after `s²²/23` is below 2⁻⁵⁹.
#[inline(always)]
pub fn ln64(x: f64) -> f64 {
    const ROOT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
    /// ln 2 in two parts, the first with 20 trailing zero bits.
    const HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
    const LOW: f64 = f64::from_bits(0x3DEA_39EF_3579_3C76);
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF);
    let e = (shifted as i64 >> 52) as f64;
    let m = f64::from_bits((shifted & 0x000F_FFFF_FFFF_FFFF) + ROOT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut p = 1.0 / 23.0;
    for n in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        p = z.mul_add(p, 1.0 / n);
    }
    let tail = (2.0 * s * z).mul_add(p, e * LOW);
    e.mul_add(HIGH, 2.0f64.mul_add(s, tail))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Distance in units of the last place of an f32.
    fn ulps(got: f32, want: f64) -> f64 {
        let next = f32::from_bits((want.abs() as f32).to_bits() + 1);
        (f64::from(got) - want).abs() / (f64::from(next) - f64::from(want.abs() as f32))
    }

    #[test]
    fn the_logarithm_is_close_to_the_truth() {
        for k in (1..=1u32 << 24).step_by(37).chain((1 << 24) - 2000..=1 << 24) {
            let u = k as f32 / 16_777_216.0;
            assert!(ulps(ln(u), f64::from(u).ln()) < 2.0, "{u}");
            let x = f64::from(k) / 16_777_217.0;
            assert!((ln64(x) - x.ln()).abs() <= 2.0 * f64::EPSILON * x.ln().abs(), "{x}");
        }
    }

    #[test]
    fn sine_and_cosine_of_turns_are_close_to_the_truth() {
        for k in (0..1u32 << 24).step_by(31) {
            let t = k as f32 / 16_777_216.0;
            let [sin, cos] = sin_cos_turns(t);
            // Near a zero the true value of an f64 angle is itself off by π's last place.
            let (want_sin, want_cos) = (TAU * f64::from(t)).sin_cos();
            assert!(ulps(sin, want_sin) < 2.0 || (f64::from(sin) - want_sin).abs() < 1e-15, "sin {t}");
            assert!(ulps(cos, want_cos) < 2.0 || (f64::from(cos) - want_cos).abs() < 1e-15, "cos {t}");
        }
    }

    #[test]
    fn groups_hold_the_words_of_their_elements() {
        for (i, word) in blocks(77, u64::MAX - 2).into_iter().enumerate() {
            assert_eq!(word, philox::word(77, u64::MAX - 2, i as u64));
        }
    }

    #[test]
    fn thresholds_count_the_words_below_a_probability() {
        for p in [0.0, 1e-9, 0.1, 0.5, 1.0 - 1e-9, 1.0] {
            let t = threshold(p);
            assert!(t == 0 || f64::from(t - 1) / 16_777_216.0 < p);
            assert!(f64::from(t) / 16_777_216.0 >= p);
        }
    }
}
