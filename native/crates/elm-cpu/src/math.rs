//! Elementary functions of f32 without branches or calls, so that loops over them vectorize.

/// `eˣ`, within 2 units in the last place, subnormal results included.
///
/// `x = n·ln 2 + r` with whole `n` and `|r| ≤ ½ ln 2`; `eʳ` times `2ⁿ` in two factors, since `n` reaches past the
/// exponents of one.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Comparisons with NaN are false, so NaN passes through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let p = exp_of_rest(x, shifted - ROUND);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `e^(x − n·ln 2)` for whole `n` that leave `|r| ≤ ½ ln 2`.
///
/// `1 + r + r²·Q(r)`, where `Q` has degree 4 and minimizes the largest relative error, which is 2⁻²⁸.
#[inline(always)]
fn exp_of_rest(x: f32, n: f32) -> f32 {
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let p = r.mul_add(1.381_453_9e-3, 8.368_745e-3);
    let p = r.mul_add(p, 4.166_839e-2);
    let p = r.mul_add(p, 1.666_652_1e-1);
    let p = r.mul_add(p, 4.999_999_4e-1);
    let p = r.mul_add(p, 1.0);
    r.mul_add(p, 1.0)
}

/// `eˣ` for `x ≤ 40`, as accurate as [`exp`] and a third shorter: what kernels take that know the sign of `x`.
///
/// `2^(n+64)` is a normal number over the whole range, so `n + 64` is added to the exponent; the factor 2⁻⁶⁴ then rounds
/// subnormal results once.
#[inline(always)]
pub fn exp_below(x: f32) -> f32 {
    const AHEAD: f32 = ROUND + 64.0;
    let x = if x < -105.0 { -105.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, AHEAD);
    let p = exp_of_rest(x, shifted - AHEAD);
    let scaled = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    // Exponents of NaN have been added to as well; `0 · x` is what it was.
    scaled.mul_add(1.0 / 18_446_744_073_709_551_616.0, 0.0 * x)
}

/// Adding it leaves the nearest whole number in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has few enough bits that its product with `n` is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// `tanh x`, within 4 units in the last place.
///
/// Near 0 an odd polynomial (the usual formula cancels there), else `(1 − e) / (1 + e)` with `e = e^(−2|x|)`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let z = x * x;
    // Minimax coefficients for |x| < 0.625 (Cephes, tanhf).
    let p = z.mul_add(-5.704_988_7e-3, 2.063_908_8e-2);
    let p = z.mul_add(p, -5.373_971_5e-2);
    let p = z.mul_add(p, 1.333_144_2e-1);
    let p = z.mul_add(p, -3.333_328e-1);
    let near = (p * z).mul_add(x, x);
    let e = exp_below(-2.0 * x.abs());
    let far = (1.0 - e) / (1.0 + e);
    let far = far.copysign(x);
    if x.abs() < 0.625 { near } else { far }
}

/// `2ˣ`, within 2 units in the last place: as [`exp`], with whole and rest of `x` itself.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let x = if x > 129.0 { 129.0 } else { x };
    let x = if x < -151.0 { -151.0 } else { x };
    let shifted = x + ROUND;
    let r = (x - (shifted - ROUND)) * std::f32::consts::LN_2;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    r.mul_add(exp_rest(r), 1.0) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `(eʳ − 1) / r` for `|r| ≤ ½ ln 2`, by its Taylor polynomial.
#[inline(always)]
fn exp_rest(r: f32) -> f32 {
    let p = r.mul_add(1.0 / 40_320.0, 1.0 / 5040.0);
    let p = r.mul_add(p, 1.0 / 720.0);
    let p = r.mul_add(p, 1.0 / 120.0);
    let p = r.mul_add(p, 1.0 / 24.0);
    let p = r.mul_add(p, 1.0 / 6.0);
    let p = r.mul_add(p, 0.5);
    r.mul_add(p, 1.0)
}

/// `eˣ − 1`, within 2 units in the last place.
///
/// With `x = n·ln 2 + r`, `h = 2ⁿ⁻¹` and `q = eʳ − 1` it is `2·(h·q + (h − ½))`, where `h − ½` is exact for small
/// `n` and the halves keep `2ⁿ` from overflowing. Below −30 the result is −1 to the last bit.
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -30.0 { -30.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let h = power_of_two((shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) - 1);
    2.0 * h.mul_add(r * exp_rest(r), h - 0.5)
}

/// `x = 2ᵉ·(1 + f)` with `√½ ≤ 1 + f < √2`, for positive normal `x`.
#[inline(always)]
fn split(x: f32) -> (f32, f32) {
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (bits as i32) >> 23;
    let mantissa = f32::from_bits((bits & 0x007F_FFFF).wrapping_add(SQRT_HALF));
    (exponent as f32, mantissa - 1.0)
}

/// The bits of √½.
const SQRT_HALF: u32 = 0x3F35_04F3;

/// `(ln(1 + f) − f) / f²`, interpolated at the Chebyshev points of √½ − 1 … √2 − 1.
#[inline(always)]
fn log_rest(f: f32) -> f32 {
    let p = f.mul_add(0.067_690_246, -0.115_572_885);
    let p = f.mul_add(p, 0.118_121_36);
    let p = f.mul_add(p, -0.124_208_145);
    let p = f.mul_add(p, 0.142_323_18);
    let p = f.mul_add(p, -0.166_675_37);
    let p = f.mul_add(p, 0.200_014_47);
    let p = f.mul_add(p, -0.250_000_12);
    let p = f.mul_add(p, 0.333_333_22);
    f.mul_add(p, -0.5)
}

/// What a logarithm gives where `x` is not a positive finite number.
#[inline(always)]
fn log_ends(x: f32, inside: f32) -> f32 {
    let y = if x == 0.0 { f32::NEG_INFINITY } else { inside };
    let y = if x < 0.0 { f32::NAN } else { y };
    // Infinity and NaN stay what they are.
    if x < f32::INFINITY { y } else { x }
}

/// A subnormal `x` times 2²⁵, and the exponent to take off again.
#[inline(always)]
fn normalize(x: f32) -> (f32, f32) {
    if x < f32::MIN_POSITIVE { (x * 33_554_432.0, -25.0) } else { (x, 0.0) }
}

/// `ln x`, within 2 units in the last place: `e·ln 2 + ln(1 + f)`, the small parts added first.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let (scaled, shift) = normalize(x);
    let (exponent, f) = split(scaled);
    let e = exponent + shift;
    let low = e.mul_add(LN2_LOW, f * f * log_rest(f));
    log_ends(x, e.mul_add(LN2_HIGH, f + low))
}

/// `log₂ x`, within 3 units in the last place.
#[inline(always)]
pub fn log2(x: f32) -> f32 {
    let (scaled, shift) = normalize(x);
    let (exponent, f) = split(scaled);
    let ln = (f * f).mul_add(log_rest(f), f);
    log_ends(x, ln.mul_add(std::f32::consts::LOG2_E, exponent + shift))
}

/// `ln(1 + x)`, within 4 units in the last place: `ln u · x / (u − 1)` with `u` the rounded `1 + x`. The factor
/// `ln u / (u − 1)` changes so slowly that the rounding of `u` does not show (Kahan).
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let y = ln(u) * (x / (u - 1.0));
    let y = if u == 1.0 { x } else { y };
    // There the quotient is no number, or it is 1 anyway.
    if u > 1e8 || u <= 0.0 { ln(u) } else { y }
}

/// `erf x / x`, interpolated in `x²` at the Chebyshev points of `|x| ≤ 1`.
#[inline(always)]
fn erf_near(s: f32) -> f32 {
    let p = s.mul_add(7.875_875e-5, -8.016_864e-4);
    let p = s.mul_add(p, 5.189_087_2e-3);
    let p = s.mul_add(p, -2.685_421_2e-2);
    let p = s.mul_add(p, 1.128_359_4e-1);
    let p = s.mul_add(p, -3.761_262_6e-1);
    s.mul_add(p, 1.283_791_7e-1)
}

/// `1 − erf z` for `0 ≤ z ≤ 12`, within 8 units in the last place: `t·Q(t)·e^(−z²)` with `t = 1 / (1 + z/2)`.
///
/// `Q` interpolates `e^(z²)·erfc z / t`, which lies between 0.28 and 1, at the Chebyshev points of `0 ≤ z ≤ 10.4`, beyond
/// which the result is 0. The caller gives `z²` and what it lost to rounding, which comes back as a factor
/// `1 − loss`: or large `z` would lose digits.
#[inline(always)]
fn erfc_far(z: f32, square: f32, loss: f32) -> f32 {
    let t = 2.0 / (2.0 + z);
    let u = t - 0.5;
    let q = u.mul_add(0.033_277_14, -0.010_524_491);
    let q = u.mul_add(q, -0.075_236_74);
    let q = u.mul_add(q, 0.052_791_23);
    let q = u.mul_add(q, 0.097_948_134);
    let q = u.mul_add(q, -0.103_566);
    let q = u.mul_add(q, -0.172_043_59);
    let q = u.mul_add(q, 0.145_765_26);
    let q = u.mul_add(q, 0.558_943_5);
    let q = u.mul_add(q, 0.687_160_73);
    let q = u.mul_add(q, 0.510_791_36);
    let e = exp_below(-square);
    t * q * loss.mul_add(-e, e)
}

/// `erf x`, within 2 units in the last place.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let near = x.mul_add(erf_near(x * x), x);
    let z = if x.abs() > 12.0 { 12.0 } else { x.abs() };
    let square = z * z;
    let far = (1.0 - erfc_far(z, square, z.mul_add(z, -square))).copysign(x);
    if x.abs() < 1.0 { near } else { far }
}

/// `Φ(x) = (1 + erf(x/√2)) / 2`, the distribution function of the standard normal, within 3 units in the
/// last place from 0 up and 8 below, where `1 + erf` would cancel.
#[inline(always)]
pub fn normal_cdf(x: f32) -> f32 {
    let size = if x.abs() > 16.0 { 16.0 } else { x.abs() };
    let square = 0.5 * size * size;
    let loss = (0.5 * size).mul_add(size, -square);
    let tail = 0.5 * erfc_far(size * std::f32::consts::FRAC_1_SQRT_2, square, loss);
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units of the last place of the true value.
    fn worst(f: fn(f32) -> f32, truth: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let steps = 400_000;
        (0..=steps)
            .map(|i| low + (high - low) * i as f32 / steps as f32)
            .map(|x| {
                let want = truth(f64::from(x));
                let ulp = f64::from(f32::from_bits((want.abs() as f32).to_bits() + 1))
                    - f64::from(want.abs() as f32);
                (f64::from(f(x)) - want).abs() / ulp
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_close_to_the_truth() {
        assert!(worst(exp, f64::exp, -104.0, 88.7) < 2.0);
        assert!(worst(exp, f64::exp, -1.0, 1.0) < 2.0);
        assert!(worst(exp_below, f64::exp, -104.0, 40.0) < 2.0);
        assert!(worst(exp_below, f64::exp, -1.0, 1.0) < 2.0);
        assert!(worst(tanh, f64::tanh, -10.0, 10.0) < 4.0);
        assert!(worst(tanh, f64::tanh, -1e-3, 1e-3) < 4.0);
        assert!(worst(exp2, f64::exp2, -149.0, 127.9) < 2.0);
        assert!(worst(exp2, f64::exp2, -1.0, 1.0) < 2.0);
        assert!(worst(expm1, f64::exp_m1, -40.0, 88.7) < 2.5);
        assert!(worst(expm1, f64::exp_m1, -2.0, 2.0) < 2.5);
        assert!(worst(expm1, f64::exp_m1, -1e-4, 1e-4) < 2.5);
        assert!(worst(ln, f64::ln, 1e-6, 3.0) < 2.0);
        assert!(worst(ln, f64::ln, 1e-41, 1e-37) < 2.0);
        assert!(worst(ln, f64::ln, 0.99, 1.01) < 2.0);
        assert!(worst(ln, f64::ln, 1.0, f32::MAX) < 2.0);
        assert!(worst(log2, f64::log2, 1e-6, 3.0) < 3.0);
        assert!(worst(log2, f64::log2, 0.99, 1.01) < 3.0);
        assert!(worst(log1p, f64::ln_1p, -0.999, 3.0) < 4.0);
        assert!(worst(log1p, f64::ln_1p, -1e-5, 1e-5) < 4.0);
        assert!(worst(log1p, f64::ln_1p, 1e6, 1e12) < 4.0);
    }

    #[test]
    fn the_error_function_is_close_to_the_truth() {
        assert!(worst(erf, libm::erf, -5.0, 5.0) < 2.0);
        assert!(worst(erf, libm::erf, -1e-3, 1e-3) < 2.0);
        let phi = |x: f64| 0.5 * libm::erfc(-x / 2f64.sqrt());
        assert!(worst(normal_cdf, phi, 0.0, 6.0) < 3.0);
        assert!(worst(normal_cdf, phi, -13.0, 0.0) < 8.0);
        assert_eq!([erf(f32::INFINITY), erf(f32::NEG_INFINITY), erf(0.0)], [1.0, -1.0, 0.0]);
        assert_eq!([normal_cdf(f32::INFINITY), normal_cdf(f32::NEG_INFINITY)], [1.0, 0.0]);
        assert!(erf(f32::NAN).is_nan() && normal_cdf(f32::NAN).is_nan());
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(200.0), f32::INFINITY);
        assert_eq!(exp(-200.0), 0.0);
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!([exp_below(0.0), exp_below(f32::NEG_INFINITY), exp_below(-200.0)], [1.0, 0.0, 0.0]);
        for payload in [0, 1, 0x1FF, 0x3F_FFFF] {
            assert!(exp_below(f32::from_bits(0x7FC0_0000 | payload)).is_nan(), "{payload:#x}");
        }
        assert_eq!([ln(1.0), ln(0.0), ln(f32::INFINITY)], [0.0, f32::NEG_INFINITY, f32::INFINITY]);
        assert_eq!([log2(8.0), log2(0.0), log2(f32::INFINITY)], [3.0, f32::NEG_INFINITY, f32::INFINITY]);
        assert_eq!([log1p(0.0), log1p(-1.0), log1p(f32::INFINITY)], [0.0, f32::NEG_INFINITY, f32::INFINITY]);
        assert_eq!([expm1(0.0), expm1(-200.0), expm1(200.0)], [0.0, -1.0, f32::INFINITY]);
        assert_eq!([exp2(3.0), exp2(-200.0), exp2(200.0)], [8.0, 0.0, f32::INFINITY]);
        assert!(
            [ln(-1.0), log2(-1.0), log1p(-2.0), ln(f32::NAN), log1p(f32::NAN)].iter().all(|y| y.is_nan())
        );
        assert!(expm1(f32::NAN).is_nan() && exp2(f32::NAN).is_nan());
        assert_eq!([tanh(0.0), tanh(40.0), tanh(f32::NEG_INFINITY)], [0.0, 1.0, -1.0]);
    }
}
