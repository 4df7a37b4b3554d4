use crate::DType;

/// The common dtype of two elementwise operands, or `None` where only a cast by hand says what is meant.
///
/// bool < u8, i8 < i32 < i64 < any float; f16 and bf16 meet in f32; u8 and i8 meet in i32, u32 and a signed
/// integer in i64.
pub fn promote(a: DType, b: DType) -> Option<DType> {
    use DType::{BF16, Bool, F16, F32, F64, I8, I32, I64, U8, U32};
    if a == b {
        return Some(a);
    }
    let (low, high) = if a > b { (a, b) } else { (b, a) };
    Some(match (high, low) {
        (other, Bool) => other,
        (BF16, F16) => F32,
        (float @ (F64 | F32 | BF16 | F16), _) => float,
        (I64, _) => I64,
        (I32, U32) => I64,
        (I32, _) => I32,
        (U32, U8) => U32,
        (U32, I8) => I64,
        (I8, U8) => I32,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::promote;
    use crate::DType;

    #[test]
    fn promotion_is_symmetric_and_idempotent() {
        for &a in DType::ALL {
            for &b in DType::ALL {
                let common = promote(a, b);
                assert_eq!(common, promote(b, a), "{a} {b}");
                let common = common.unwrap_or_else(|| panic!("{a} and {b} have no common dtype"));
                assert_eq!(promote(common, a), Some(common), "{a} {b}");
            }
        }
    }
}
