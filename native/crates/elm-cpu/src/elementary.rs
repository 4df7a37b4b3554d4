//! Functions of one or two reals that kernels apply to every element.

use crate::element::Real;
use crate::math;

/// What [`Real`] can do beyond arithmetic: f32 by the vectorizing functions of [`math`] where there is one, else the
/// platform's.
pub trait Elementary: Real {
    fn exp2(self) -> Self;
    fn expm1(self) -> Self;
    fn log2(self) -> Self;
    fn log1p(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn erf(self) -> Self;
    /// `(1 + erf(x/√2)) / 2`, accurate in both tails.
    fn normal_cdf(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round_even(self) -> Self;
    fn trunc(self) -> Self;
    fn is_nan(self) -> bool;
    fn is_infinite(self) -> bool;
    fn pow(self, exponent: Self) -> Self;
    /// The remainder with the sign of `self`, exact.
    fn truncated_remainder(self, other: Self) -> Self;

    /// `1 / (1 + e⁻ˣ)`, for negative `x` as `eˣ / (1 + eˣ)`: no exponential overflows.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp_below();
        (if self < Self::ZERO { e } else { Self::ONE }) / (Self::ONE + e)
    }

    /// The remainder with the sign of `other`.
    #[inline(always)]
    fn floor_remainder(self, other: Self) -> Self {
        let rest = self.truncated_remainder(other);
        if rest != Self::ZERO && (rest < Self::ZERO) != (other < Self::ZERO) { rest + other } else { rest }
    }

    /// `⌊self / other⌋` by the exact remainder, since the rounded quotient may reach a whole number from below.
    #[inline(always)]
    fn floor_divide(self, other: Self) -> Self {
        let rest = self.truncated_remainder(other);
        let quotient = ((self - rest) / other).round_even();
        let crosses = rest != Self::ZERO && (rest < Self::ZERO) != (other < Self::ZERO);
        let floor = if crosses { quotient - Self::ONE } else { quotient };
        // Division by zero has its own result, and no remainder.
        if other == Self::ZERO { self / other } else { floor }
    }
}

macro_rules! elementary {
    ($($t:ident: $($name:ident = $f:path),*;)*) => { $(
        impl Elementary for $t {
            $(#[inline(always)] fn $name(self) -> $t { $f(self) })*
            #[inline(always)] fn sin(self) -> $t { $t::sin(self) }
            #[inline(always)] fn cos(self) -> $t { $t::cos(self) }
            #[inline(always)] fn floor(self) -> $t { $t::floor(self) }
            #[inline(always)] fn ceil(self) -> $t { $t::ceil(self) }
            #[inline(always)] fn round_even(self) -> $t { $t::round_ties_even(self) }
            #[inline(always)] fn trunc(self) -> $t { $t::trunc(self) }
            #[inline(always)] fn is_nan(self) -> bool { $t::is_nan(self) }
            #[inline(always)] fn is_infinite(self) -> bool { $t::is_infinite(self) }
            #[inline(always)] fn pow(self, exponent: $t) -> $t { $t::powf(self, exponent) }
            #[inline(always)] fn truncated_remainder(self, other: $t) -> $t { self % other }
        }
    )* };
}
elementary! {
    f32: exp2 = math::exp2, expm1 = math::expm1, log2 = math::log2, log1p = math::log1p, erf = math::erf,
         normal_cdf = math::normal_cdf;
    f64: exp2 = f64::exp2, expm1 = f64::exp_m1, log2 = f64::log2, log1p = f64::ln_1p, erf = libm::erf,
         normal_cdf = normal_cdf;
}

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}
