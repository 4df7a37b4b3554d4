//! Integer arithmetic, which wraps and never panics.

use crate::element::Element;

/// An integer dtype: arithmetic wraps.
pub trait Int:
    Element
    + Ord
    + std::ops::BitAnd<Output = Self>
    + std::ops::BitOr<Output = Self>
    + std::ops::BitXor<Output = Self>
    + std::ops::Not<Output = Self>
{
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn opposite(self) -> Self;
    fn magnitude(self) -> Self;
    fn sign(self) -> Self;
    /// `⌊self / other⌋`, 0 for `other = 0`.
    fn floor_divide(self, other: Self) -> Self;
    /// `self − other · ⌊self / other⌋`, 0 for `other = 0`.
    fn floor_remainder(self, other: Self) -> Self;
    /// Negative powers drop the fraction of `1 / self^|exponent|`, 0 for `self = 0`.
    fn power(self, exponent: Self) -> Self;
}

macro_rules! int {
    ($($t:ident),*) => { $(
        // One text for both kinds: for unsigned types some comparisons with 0 are constant.
        #[allow(unused_comparisons)]
        impl Int for $t {
            #[inline(always)] fn plus(self, other: $t) -> $t { self.wrapping_add(other) }
            #[inline(always)] fn minus(self, other: $t) -> $t { self.wrapping_sub(other) }
            #[inline(always)] fn times(self, other: $t) -> $t { self.wrapping_mul(other) }
            #[inline(always)] fn opposite(self) -> $t { self.wrapping_neg() }
            #[inline(always)] fn magnitude(self) -> $t { if self < 0 { self.wrapping_neg() } else { self } }
            #[inline(always)] fn sign(self) -> $t { $t::from(self > 0).wrapping_sub($t::from(self < 0)) }
            fn floor_divide(self, other: $t) -> $t {
                if other == 0 {
                    return 0;
                }
                let (quotient, rest) = (self.wrapping_div(other), self.wrapping_rem(other));
                quotient.wrapping_sub($t::from(rest != 0 && (rest < 0) != (other < 0)))
            }
            fn floor_remainder(self, other: $t) -> $t {
                if other == 0 {
                    return 0;
                }
                let rest = self.wrapping_rem(other);
                if rest != 0 && (rest < 0) != (other < 0) { rest.wrapping_add(other) } else { rest }
            }
            fn power(self, exponent: $t) -> $t {
                if exponent < 0 {
                    // Only 1 and −1 have a whole reciprocal; no unsigned number comes here.
                    let minus_one = !0;
                    return match self {
                        1 => 1,
                        _ if self == minus_one => if exponent & 1 == 1 { minus_one } else { 1 },
                        _ => 0,
                    };
                }
                let (mut base, mut left, mut product): ($t, $t, $t) = (self, exponent, 1);
                while left > 0 {
                    if left & 1 == 1 {
                        product = product.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                product
            }
        }
    )* };
}
int!(i64, i32, u32, i8, u8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_never_panic() {
        assert_eq!(i64::MAX.plus(1), i64::MIN);
        assert_eq!(i64::MIN.opposite(), i64::MIN);
        assert_eq!(i64::MIN.magnitude(), i64::MIN);
        assert_eq!([i8::MIN.floor_divide(-1), i8::MIN.floor_remainder(-1)], [i8::MIN, 0]);
        assert_eq!([7i32.floor_divide(0), 7i32.floor_remainder(0)], [0, 0]);
        assert_eq!([(-7i64).floor_divide(2), (-7i64).floor_remainder(2)], [-4, 1]);
        assert_eq!([7i64.floor_divide(-2), 7i64.floor_remainder(-2)], [-4, -1]);
        assert_eq!([7u8.floor_divide(2), 7u8.floor_remainder(2), 250u8.sign(), 0u8.sign()], [3, 1, 1, 0]);
        assert_eq!([(1i64 << 53).plus(1), i64::MAX.times(3)], [(1 << 53) + 1, i64::MAX.wrapping_mul(3)]);
        assert_eq!([3i64.power(39), 2i64.power(64), (-1i64).power(-3)], [4_052_555_153_018_976_267, 0, -1]);
        assert_eq!([(-1i64).power(-4), 2i64.power(-1), 0i64.power(-1), 0i64.power(0)], [1, 0, 0, 1]);
        assert_eq!([255u8.power(2), 255u8.sign()], [1, 1]);
        assert_eq!([(-5i8).sign(), 5i8.sign(), i8::MIN.sign()], [-1, 1, -1]);
    }
}
