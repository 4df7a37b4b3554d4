//! Normal deviates from one word each, by the inverse of the distribution function Φ.
//!
//! In f64 and with explicit fused multiply-adds, for the same bits on every device.

use crate::random::ln64;

/// The normal distribution between two bounds.
pub struct Truncated {
    low: f64,
    high: f64,
    /// Φ at the lower bound, and what lies between the bounds.
    start: f64,
    mass: f64,
    /// Bounds were mirrored: to the right of 0, `1 − Φ` would lose the digits that Φ keeps to the left.
    mirrored: bool,
}

impl Truncated {
    pub fn new(low: f64, high: f64) -> Truncated {
        let mirrored = low > 0.0;
        let (low, high) = if mirrored { (-high, -low) } else { (low, high) };
        let phi = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
        Truncated { low, high, start: phi(low), mass: phi(high) - phi(low), mirrored }
    }

    /// A deviate from each word. The middle of the distribution is computed for all in a loop that vectorizes; the
    /// few in the tails are then done again.
    #[inline]
    pub fn values<const N: usize>(&self, words: &[u32; N]) -> [f64; N] {
        let p = words.map(|word| {
            // Halfway between two whole numbers of 32 bits: neither 0 nor 1.
            let u = (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0);
            let u = if self.mirrored { 1.0 - u } else { u };
            u.mul_add(self.mass, self.start)
        });
        let mut z = p.map(middle);
        for (z, p) in z.iter_mut().zip(p).filter(|(_, p)| (p - 0.5).abs() > MIDDLE_END) {
            *z = tail(p);
        }
        z.map(|z| {
            let z = z.max(self.low).min(self.high);
            if self.mirrored { -z } else { z }
        })
    }
}

/// How far from ½ the rational function of the middle reaches.
const MIDDLE_END: f64 = 0.425;

/// The `z` with `Φ(z) = p` for `p` of `[0.075, 0.925]`, within about `10⁻¹⁵` of `z`.
///
/// Wichura, 1988, algorithm AS 241 (PPND16): rational functions of `p − ½` in the middle and of `√(−ln p)` in the tails.
#[inline(always)]
fn middle(p: f64) -> f64 {
    let q = p - 0.5;
    let r = (-q).mul_add(q, MIDDLE_END * MIDDLE_END);
    q * horner(r, &MIDDLE[0]) / horner(r, &MIDDLE[1])
}

/// The same for the other `p`.
fn tail(p: f64) -> f64 {
    let r = (-ln64(p.min(1.0 - p))).sqrt();
    let z = if r <= 5.0 {
        horner(r - 1.6, &TAIL[0]) / horner(r - 1.6, &TAIL[1])
    } else {
        horner(r - 5.0, &FAR_TAIL[0]) / horner(r - 5.0, &FAR_TAIL[1])
    };
    if p < 0.5 { -z } else { z }
}

#[inline(always)]
fn horner(x: f64, coefficients: &[f64; 8]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, &c| sum.mul_add(x, c))
}

/// Numerator and denominator, constant terms first.
#[allow(clippy::excessive_precision)] // The digits as published.
const MIDDLE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_608,
        1.331_416_678_917_843_774_5e2,
        1.971_590_950_306_551_442_7e3,
        1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4,
        6.726_577_092_700_870_085_3e4,
        3.343_057_558_358_812_810_5e4,
        2.509_080_928_730_122_672_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091_125_2e1,
        6.871_870_074_920_579_083e2,
        5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4,
        3.930_789_580_009_271_061e4,
        2.872_908_573_572_194_267_4e4,
        5.226_495_278_852_854_561e3,
    ],
];
#[allow(clippy::excessive_precision)]
const TAIL: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_577_34,
        4.630_337_846_156_545_295_9,
        5.769_497_221_460_691_405_5,
        3.647_848_324_763_204_605_04,
        1.270_458_252_452_368_382_58,
        2.417_807_251_774_506_117_7e-1,
        2.272_384_498_926_918_458_33e-2,
        7.745_450_142_783_414_076_4e-4,
    ],
    [
        1.0,
        2.053_191_626_637_758_821_87,
        1.676_384_830_183_803_849_4,
        6.897_673_349_851_000_045_5e-1,
        1.481_039_764_274_800_745_9e-1,
        1.519_866_656_361_645_719_66e-2,
        5.475_938_084_995_344_946e-4,
        1.050_750_071_644_416_843_24e-9,
    ],
];
#[allow(clippy::excessive_precision)]
const FAR_TAIL: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103_777_2,
        5.463_784_911_164_114_369_9,
        1.784_826_539_917_291_335_8,
        2.965_605_718_285_048_912_3e-1,
        2.653_218_952_657_612_309_3e-2,
        1.242_660_947_388_078_438_6e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ],
    [
        1.0,
        5.998_322_065_558_879_376_9e-1,
        1.369_298_809_227_358_053_1e-1,
        1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591e-4,
        1.846_318_317_510_054_681_8e-5,
        1.421_511_758_316_445_888_7e-7,
        2.044_263_103_389_939_785_64e-15,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_of_the_distribution_function_inverts_it() {
        let phi = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
        for i in 1..4000 {
            let z = -37.0 + f64::from(i) * 0.01;
            // Beyond 5, p is so close to 1 that it no longer tells z.
            if z < 5.0 {
                let slack = f64::EPSILON / phi(-z.abs()).max(1e-300) * f64::from(u8::from(z > 0.0));
                let p = phi(z);
                let inverse = if (p - 0.5).abs() > MIDDLE_END { tail(p) } else { middle(p) };
                assert!((inverse - z).abs() < 4e-15 * z.abs().max(0.1) + slack, "{z}");
            }
        }
    }
}
