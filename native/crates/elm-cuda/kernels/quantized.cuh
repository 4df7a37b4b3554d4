// Rows of codes, little-endian bit streams in u32 words, and what they stand for: scale · q + bias in f32.
#pragma once
#include "common.cuh"

// Numbers that are read at once: their codes begin with a byte.
constexpr int UNIT = 8;

// `span` ≤ 32 bits of a stream from `bit` on; words behind them are not touched.
__device__ __forceinline__ u32 window(const u32 *words, u32 bit, u32 span) {
  u32 word = bit / 32, shift = bit % 32;
  u32 low = words[word], high = shift + span > 32 ? words[word + 1] : 0;
  return __funnelshift_r(low, high, shift);
}

// A code as a float. Conversions run at a quarter of the speed of sums, so it is put into the mantissa of 2²³.
__device__ __forceinline__ f32 code_value(u32 code) { return __uint_as_float(0x4B000000u | code) - 8388608.0f; }

// A matrix [rows, dim] in codes of `bits` bits, with scales and biases of S for each 2^`shift` numbers of a row.
template <typename S> struct Quantized {
  const u32 *codes;
  const S *scales, *biases;
  u32 bits, shift, dim;
};

// Numbers 8 · unit … of row `row`.
template <typename S>
__device__ __forceinline__ void read_unit(const Quantized<S> &w, u64 row, u32 unit, f32 (&out)[UNIT]) {
  const u32 *words = w.codes + row * (w.dim / 32 * w.bits);
  u32 bit = unit * UNIT * w.bits, mask = (1u << w.bits) - 1, low, high;
  if (w.bits <= 4) {
    low = window(words, bit, 8 * w.bits);
    high = low >> (4 * w.bits);
  } else {
    low = window(words, bit, 4 * w.bits);
    high = window(words, bit + 4 * w.bits, 4 * w.bits);
  }
  u64 group = row * (w.dim >> w.shift) + (unit * UNIT >> w.shift);
  f32 scale = widen(w.scales[group]), bias = widen(w.biases[group]);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    out[k] = __fmaf_rn(scale, code_value(low >> (k * w.bits) & mask), bias);
    out[4 + k] = __fmaf_rn(scale, code_value(high >> (k * w.bits) & mask), bias);
  }
}
