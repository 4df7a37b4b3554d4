//! Elementary functions of f32 without branches or calls, so that loops over them vectorize.

/// `eˣ`, within 2 units in the last place, subnormal results included.
///
/// `x = n·ln 2 + r` with whole `n` and `|r| ≤ ½ ln 2`; `eʳ` by a Taylor polynomial of degree 7, whose remainder is
/// below 2⁻²⁷; then times `2ⁿ` in two factors, since `n` reaches past the exponents of one.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Comparisons with NaN are false, so NaN passes through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let p = 1.0 / 5040.0;
    let p = r.mul_add(p, 1.0 / 720.0);
    let p = r.mul_add(p, 1.0 / 120.0);
    let p = r.mul_add(p, 1.0 / 24.0);
    let p = r.mul_add(p, 1.0 / 6.0);
    let p = r.mul_add(p, 0.5);
    let p = r.mul_add(p, 1.0);
    let p = r.mul_add(p, 1.0);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
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
/// Near 0 an odd polynomial (the usual formula cancels there), else `1 − 2 / (e²ˣ + 1)`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let z = x * x;
    // Minimax coefficients for |x| < 0.625 (Cephes, tanhf).
    let p = z.mul_add(-5.704_988_7e-3, 2.063_908_8e-2);
    let p = z.mul_add(p, -5.373_971_5e-2);
    let p = z.mul_add(p, 1.333_144_2e-1);
    let p = z.mul_add(p, -3.333_328e-1);
    let near = (p * z).mul_add(x, x);
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    let far = far.copysign(x);
    if x.abs() < 0.625 { near } else { far }
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
        assert!(worst(tanh, f64::tanh, -10.0, 10.0) < 4.0);
        assert!(worst(tanh, f64::tanh, -1e-3, 1e-3) < 4.0);
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(200.0), f32::INFINITY);
        assert_eq!(exp(-200.0), 0.0);
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!([tanh(0.0), tanh(40.0), tanh(f32::NEG_INFINITY)], [0.0, 1.0, -1.0]);
    }
}
