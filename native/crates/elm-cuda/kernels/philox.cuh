// Philox 4×32-10 (Salmon et al., 2011), and from its words to numbers of a distribution.
//
// Every step is one that IEEE 754 rounds exactly, written so that the compiler fuses nothing of its own: the bits are
// those of the CPU (`philox.rs`, `random.rs` and `inverse_normal.rs`).
#pragma once
#include "common.cuh"

struct Words {
  u32 values[4];
  __device__ __forceinline__ u32 operator[](int i) const { return values[i]; }
};

// The four words of block `counter` of the stream `seed`.
__device__ __forceinline__ Words philox(u64 seed, u64 counter) {
  u32 key0 = u32(seed), key1 = u32(seed >> 32);
  u32 w0 = u32(counter), w1 = u32(counter >> 32), w2 = 0, w3 = 0;
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    u64 a = u64(0xD2511F53u) * w0, b = u64(0xCD9E8D57u) * w2;
    w0 = u32(b >> 32) ^ w1 ^ key0;
    w1 = u32(b);
    w2 = u32(a >> 32) ^ w3 ^ key1;
    w3 = u32(a);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return Words{{w0, w1, w2, w3}};
}

// Calls `f(words)`, which gives the four elements of y that one block of Philox makes, for all blocks.
template <typename T, typename F> __device__ void draw(T *y, u64 seed, u64 counter, u64 n, F f) {
  bool packed = u64(y) % sizeof(Pack<T, 4>) == 0;
  for (u64 block = first(); block * 4 < n; block += step()) {
    Pack<T, 4> out = f(philox(seed, counter + block));
    if (packed && block * 4 + 4 <= n) {
      reinterpret_cast<Pack<T, 4> *>(y)[block] = out;
      continue;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (block * 4 + i < n) y[block * 4 + i] = out[i];
  }
}

__device__ __forceinline__ f32 fused(f32 a, f32 b, f32 c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ f64 fused(f64 a, f64 b, f64 c) { return __fma_rn(a, b, c); }

// ln x for normal positive x; `random.rs` derives it.
__device__ __forceinline__ f32 exact_ln(f32 x) {
  constexpr u32 ROOT_HALF = 0x3F3504F3u;
  u32 shifted = __float_as_uint(x) - ROOT_HALF;
  f32 e = __int2float_rn(int(shifted) >> 23);
  f32 m = __uint_as_float((shifted & 0x007FFFFFu) + ROOT_HALF);
  f32 s = __fdiv_rn(__fsub_rn(m, 1.0f), __fadd_rn(m, 1.0f));
  f32 z = __fmul_rn(s, s);
  f32 p = __fmaf_rn(z, 1.0f / 11.0f, 1.0f / 9.0f);
  p = __fmaf_rn(z, p, 1.0f / 7.0f);
  p = __fmaf_rn(z, p, 1.0f / 5.0f);
  p = __fmaf_rn(z, p, 1.0f / 3.0f);
  f32 tail = __fmaf_rn(__fmul_rn(__fmul_rn(2.0f, s), z), p, __fmul_rn(e, -2.1219444e-4f));
  return __fmaf_rn(e, 0.6933594f, __fmaf_rn(2.0f, s, tail));
}

__device__ __forceinline__ f64 exact_ln(f64 x) {
  constexpr u64 ROOT_HALF = 0x3FE6A09E667F3BCDull;
  u64 shifted = u64(__double_as_longlong(x)) - ROOT_HALF;
  f64 e = __ll2double_rn((long long)(shifted) >> 52);
  f64 m = __longlong_as_double((long long)((shifted & 0x000FFFFFFFFFFFFFull) + ROOT_HALF));
  f64 s = __ddiv_rn(__dsub_rn(m, 1.0), __dadd_rn(m, 1.0));
  f64 z = __dmul_rn(s, s);
  f64 p = 1.0 / 23.0;
  p = __fma_rn(z, p, 1.0 / 21.0);
  p = __fma_rn(z, p, 1.0 / 19.0);
  p = __fma_rn(z, p, 1.0 / 17.0);
  p = __fma_rn(z, p, 1.0 / 15.0);
  p = __fma_rn(z, p, 1.0 / 13.0);
  p = __fma_rn(z, p, 1.0 / 11.0);
  p = __fma_rn(z, p, 1.0 / 9.0);
  p = __fma_rn(z, p, 1.0 / 7.0);
  p = __fma_rn(z, p, 1.0 / 5.0);
  p = __fma_rn(z, p, 1.0 / 3.0);
  f64 low = __longlong_as_double(0x3DEA39EF35793C76ll), high = __longlong_as_double(0x3FE62E42FEE00000ll);
  f64 tail = __fma_rn(__dmul_rn(__dmul_rn(2.0, s), z), p, __dmul_rn(e, low));
  return __fma_rn(e, high, __fma_rn(2.0, s, tail));
}

// Sine and cosine of t full turns, t of [0, 1).
__device__ __forceinline__ void sin_cos_turns(f32 t, f32 &sine, f32 &cosine) {
  f32 quarters = __fmul_rn(t, 4.0f);
  f32 quarter = floorf(__fadd_rn(quarters, 0.5f));
  f32 f = __fsub_rn(quarters, quarter);
  f32 z = __fmul_rn(f, f);
  f32 p = __fmaf_rn(z, 1.604412e-4f, -4.681754e-3f);
  p = __fmaf_rn(z, p, 0.07969263f);
  p = __fmaf_rn(z, p, -0.6459641f);
  f32 sin = __fmaf_rn(f, 1.5707964f, __fmaf_rn(__fmul_rn(f, z), p, __fmul_rn(f, -4.371139e-8f)));
  p = __fmaf_rn(z, -2.5202042e-5f, 9.1926027e-4f);
  p = __fmaf_rn(z, p, -0.02086348f);
  p = __fmaf_rn(z, p, 0.2536695f);
  p = __fmaf_rn(z, p, -1.2337005f);
  f32 cos = __fmaf_rn(z, p, 1.0f);
  int turn = int(quarter);
  f32 a = turn & 1 ? cos : sin, b = turn & 1 ? sin : cos;
  sine = turn & 2 ? -a : a;
  cosine = (turn + 1) & 2 ? -b : b;
}

// Two normal deviates from two words, by Box and Muller.
__device__ __forceinline__ void normal_pair(u32 first, u32 second, f32 &cosine, f32 &sine) {
  constexpr f32 UNIT = 1.0f / 16777216.0f;
  f32 u = __int2float_rn(int((first >> 8) + 1)), turns = __int2float_rn(int(second >> 8));
  f32 radius = __fsqrt_rn(__fmul_rn(-2.0f, exact_ln(__fmul_rn(u, UNIT))));
  f32 s, c;
  sin_cos_turns(__fmul_rn(turns, UNIT), s, c);
  cosine = __fmul_rn(radius, c);
  sine = __fmul_rn(radius, s);
}

// 32 random bits as a number of (0, 1): halfway between two whole numbers.
__device__ __forceinline__ f64 open_unit(u32 word) {
  return __dmul_rn(__dadd_rn(__uint2double_rn(word), 0.5), 1.0 / 4294967296.0);
}
