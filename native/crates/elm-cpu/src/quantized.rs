//! Rows of quantized weights: what their codes stand for.

use std::array::from_fn;

use elm_core::View;

use crate::element::Real;
use crate::simd::Slices;
use crate::view::slice;

/// Numbers whose codes fill whole words at any width.
pub const UNIT: usize = 32;

/// A matrix in codes of `bits` bits, with scales and biases of dtype `S` for each `group` numbers of a row.
#[derive(Clone, Copy)]
pub struct Quantized<'a, S> {
    pub bits: usize,
    pub group: usize,
    /// Numbers in a row.
    pub dim: usize,
    codes: &'a [u32],
    scales: &'a [S],
    biases: &'a [S],
}

impl<'a, S: Slices<Acc = f32>> Quantized<'a, S> {
    /// Of contiguous codes, scales and biases.
    pub fn new([codes, scales, biases]: [&'a View; 3], bits: usize, group: usize) -> Quantized<'a, S> {
        let dim = codes.shape().last().map_or(0, |words| words / bits * 32);
        Quantized { bits, group, dim, codes: slice(codes), scales: slice(scales), biases: slice(biases) }
    }

    /// The codes of one row.
    pub fn codes(&self, row: usize) -> &'a [u32] {
        let words = self.dim / UNIT * self.bits;
        &self.codes[row * words..(row + 1) * words]
    }

    /// Scales and biases of one row.
    pub fn groups(&self, row: usize) -> [&'a [S]; 2] {
        let count = self.dim / self.group;
        [self.scales, self.biases].map(|all| &all[row * count..(row + 1) * count])
    }

    /// `scale · code + bias` for the numbers of a row from `start` on; start and length are multiples of [`UNIT`].
    pub fn read<R: Real>(&self, row: usize, start: usize, out: &mut [R]) {
        match self.bits {
            2 => self.read_width::<2, R>(row, start, out),
            3 => self.read_width::<3, R>(row, start, out),
            4 => self.read_width::<4, R>(row, start, out),
            5 => self.read_width::<5, R>(row, start, out),
            6 => self.read_width::<6, R>(row, start, out),
            7 => self.read_width::<7, R>(row, start, out),
            _ => self.read_width::<8, R>(row, start, out),
        }
    }

    fn read_width<const BITS: usize, R: Real>(&self, row: usize, start: usize, out: &mut [R]) {
        debug_assert!(start.is_multiple_of(UNIT) && out.len().is_multiple_of(UNIT));
        let (units, _) = self.codes(row)[start / UNIT * BITS..].as_chunks::<BITS>();
        let [scales, biases] = self.groups(row);
        for (i, (out, words)) in out.as_chunks_mut::<UNIT>().0.iter_mut().zip(units).enumerate() {
            let group = (start + i * UNIT) / self.group;
            let (scale, bias) = (scales[group].load(), biases[group].load());
            let codes = unpack::<BITS>(words);
            // Through i32, for which every machine has a conversion.
            *out = from_fn(|k| R::real(f64::from(scale.mul_add(codes[k] as i32 as f32, bias))));
        }
    }
}

/// The 32 codes in `BITS` words, a little-endian bit stream.
#[inline(always)]
fn unpack<const BITS: usize>(words: &[u32; BITS]) -> [u32; UNIT] {
    from_fn(|k| {
        let (word, shift) = (k * BITS / 32, k * BITS % 32);
        let rest = if shift + BITS > 32 { words[word + 1] << (32 - shift) } else { 0 };
        (words[word] >> shift | rest) & ((1 << BITS) - 1)
    })
}

/// The reverse of [`unpack`].
pub fn pack(codes: &[u32; UNIT], bits: usize, words: &mut [u32]) {
    let (mut held, mut count, mut next) = (0u64, 0, 0);
    for &code in codes {
        held |= u64::from(code) << count;
        count += bits;
        if count >= 32 {
            words[next] = held as u32;
            (held, count, next) = (held >> 32, count - 32, next + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<const BITS: usize>() {
        let codes: [u32; UNIT] = from_fn(|i| (i as u32 * 37 + 11) % (1 << BITS));
        let mut words = [0; BITS];
        pack(&codes, BITS, &mut words);
        assert_eq!(unpack(&words), codes, "{BITS} bits");
    }

    #[test]
    fn codes_of_every_width_come_back() {
        round_trip::<2>();
        round_trip::<3>();
        round_trip::<4>();
        round_trip::<5>();
        round_trip::<6>();
        round_trip::<7>();
        round_trip::<8>();
    }
}
