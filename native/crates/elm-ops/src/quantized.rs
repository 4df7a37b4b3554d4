//! Affine quantized weights: groups of numbers along the last axis that share a scale and a bias.
//!
//! `w ≈ scale · q + bias`, `q` a whole number of `bits` bits. The codes `q` of a row are one little-endian bit stream in
//! u32 words, which is the layout of MLX. Groups are multiples of 32, so each begins with a word.

use elm_core::{AttrDef, Attrs, DType, ErrorCode, Infer, OpError, attr};

use DType::{BF16, F16, F32};

/// Dtypes of scales and biases.
pub const SCALES: &[DType] = &[F32, BF16, F16];

pub const BITS: AttrDef = attr::int("bits", 4, "Bits of one code, 2 to 8.");
pub const GROUP: AttrDef = attr::int("group", 64, "Numbers that share a scale and a bias: 32, 64 or 128.");

/// How numbers are grouped and how wide their codes are.
#[derive(Clone, Copy)]
pub struct Packing {
    pub bits: usize,
    pub group: usize,
}

impl Packing {
    /// Of attributes that [`Packing::check`] has seen.
    pub fn of(attrs: &Attrs) -> Packing {
        Packing { bits: attrs.int("bits") as usize, group: attrs.int("group") as usize }
    }

    pub fn check(call: &Infer) -> Result<Packing, OpError> {
        let [bits, group] = ["bits", "group"].map(|name| call.attrs.int(name));
        if !(2..=8).contains(&bits) {
            let message = format!("bits must be 2 to 8, got {bits}");
            return Err(call.error(ErrorCode::InvalidArgument, message));
        }
        if ![32, 64, 128].contains(&group) {
            let message = format!("group must be 32, 64 or 128, got {group}");
            return Err(call.error(ErrorCode::InvalidArgument, message));
        }
        Ok(Packing::of(call.attrs))
    }

    /// Numbers in a row of the codes at `position`, whose scales and biases follow; all three are checked.
    pub fn row(self, call: &Infer, position: usize) -> Result<usize, OpError> {
        let words = call.last_dim(position)?;
        let numbers = words / self.bits * 32;
        if !words.is_multiple_of(self.bits) || !numbers.is_multiple_of(self.group) {
            let each = self.group * self.bits / 32;
            return Err(call.shape_error(format!(
                "a row of codes must be whole groups of {each} words ({} numbers of {} bits), got {words} words",
                self.group, self.bits
            )));
        }
        let mut shape = elm_core::Shape::from_slice(call.shape(position));
        *shape.last_mut().expect("it has a last axis") = numbers / self.group;
        for at in [position + 1, position + 2] {
            call.require_shape(at, &shape, "one entry for each group of the codes")?;
        }
        Ok(numbers)
    }

    /// The codes of a row, bit by bit.
    pub fn unpack(self, words: &[f64]) -> Vec<u32> {
        let bit = |at: usize| (words[at / 32] as u32 >> (at % 32)) & 1;
        let code = |i: usize| (0..self.bits).map(|b| bit(i * self.bits + b) << b).sum();
        (0..words.len() * 32 / self.bits).map(code).collect()
    }

    /// The words of a row of codes.
    pub fn pack(self, codes: &[u32]) -> Vec<u32> {
        let bit = |at: usize| (codes[at / self.bits] >> (at % self.bits)) & 1;
        (0..codes.len() * self.bits / 32).map(|word| (0..32).map(|b| bit(word * 32 + b) << b).sum()).collect()
    }

    /// All numbers of rows of `numbers` each, as f32.
    pub fn dequantize(self, numbers: usize, codes: &[f64], scales: &[f64], biases: &[f64]) -> Vec<f32> {
        let words = numbers * self.bits / 32;
        let codes = codes.chunks_exact(words.max(1)).flat_map(|row| self.unpack(row));
        let number = |(i, q): (usize, u32)| {
            let at = i / self.group;
            (scales[at] as f32).mul_add(q as f32, biases[at] as f32)
        };
        codes.enumerate().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_a_little_endian_bit_stream() {
        let packing = Packing { bits: 4, group: 32 };
        let codes: Vec<u32> = (0..32).map(|i| i % 16).collect();
        assert_eq!(packing.pack(&codes), [0x7654_3210, 0xFEDC_BA98, 0x7654_3210, 0xFEDC_BA98]);
        for bits in 2..=8 {
            let packing = Packing { bits, group: 32 };
            let codes: Vec<u32> = (0..64).map(|i| (i * 37 + 11) % (1 << bits)).collect();
            let words: Vec<f64> = packing.pack(&codes).into_iter().map(f64::from).collect();
            assert_eq!(packing.unpack(&words), codes, "{bits} bits");
        }
    }
}
