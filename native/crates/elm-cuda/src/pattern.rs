//! Numbers as the bits that tensors hold.

use elm_core::{DType, bf16, f16};

/// `value` in a dtype, rounded once, repeated until it fills 64 bits. Integers and bool hold it exactly.
pub fn pattern(dtype: DType, value: f64) -> u64 {
    let whole = value as i64 as u64;
    match dtype {
        DType::F64 => value.to_bits(),
        DType::F32 => twice(u64::from((value as f32).to_bits()), 32),
        DType::BF16 => twice(u64::from(bf16::from_f64(value).to_bits()), 16),
        DType::F16 => twice(u64::from(f16::from_f64(value).to_bits()), 16),
        DType::I64 => whole,
        DType::I32 | DType::U32 => twice(whole & 0xFFFF_FFFF, 32),
        DType::I8 | DType::U8 => twice(whole & 0xFF, 8),
        DType::Bool => twice(u64::from(value != 0.0), 8),
    }
}

/// The low `width` bits in all others too.
fn twice(bits: u64, width: u32) -> u64 {
    if width == 64 { bits } else { twice(bits | bits << width, 2 * width) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_repeat_the_bits_of_a_number() {
        assert_eq!(pattern(DType::F32, 1.0), 0x3F80_0000_3F80_0000);
        assert_eq!(pattern(DType::BF16, -2.0), 0xC000_C000_C000_C000);
        assert_eq!(pattern(DType::I8, -128.0), 0x8080_8080_8080_8080);
        assert_eq!(pattern(DType::U32, f64::from(u32::MAX)), u64::MAX);
        assert_eq!(pattern(DType::I64, -1.0), u64::MAX);
        assert_eq!(pattern(DType::Bool, 1.0), 0x0101_0101_0101_0101);
    }
}
