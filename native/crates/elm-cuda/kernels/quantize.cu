// Weights as codes of a few bits with a scale and a bias a group, and back.
//
// quantize: a warp has a group, a lane a number of each 32. dequantize: a thread has 8 numbers. Bandwidth bound. The
// arithmetic has the bits of the definition, so nothing may be contracted.
#include "quantized.cuh"

constexpr int WARPS = 8;

template <typename T> __device__ void quantize(u32 *codes, T *scales, T *biases, const T *w, u64 groups, u32 bits, u32 group) {
  __shared__ u8 of_lane[WARPS][WARP];
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  u64 at = u64(blockIdx.x) * WARPS + warp;
  if (at >= groups) return;
  w += at * group;
  codes += at * (group / 32 * bits);
  f32 low = INFINITY, high = -INFINITY, most = f32((1u << bits) - 1);
  for (u32 i = lane; i < group; i += WARP) {
    f32 value = widen(w[i]);
    low = fminf(low, value);
    high = fmaxf(high, value);
  }
  low = warp_all(low, [](f32 a, f32 b) { return fminf(a, b); });
  high = warp_all(high, [](f32 a, f32 b) { return fmaxf(a, b); });
  f32 width = fmaxf(__fdiv_rn(__fsub_rn(high, low), most), 1e-7f);
  bool is_low = fabsf(low) > fabsf(high);
  f32 scale = is_low ? width : -width, edge = is_low ? low : high, bias = 0;
  f32 at_edge = rintf(__fdiv_rn(edge, scale));
  if (at_edge != 0) {
    scale = __fdiv_rn(edge, at_edge);
    bias = edge;
  }
  for (u32 unit = 0; unit < group / WARP; ++unit) {
    f32 value = widen(w[unit * WARP + lane]);
    f32 code = fminf(fmaxf(rintf(__fdiv_rn(__fsub_rn(value, bias), scale)), 0.0f), most);
    of_lane[warp][lane] = u8(code);
    __syncwarp();
    if (lane < bits) {
      // The codes of which some bit lies in word `lane`.
      u32 word = 0;
      for (u32 i = lane * 32 / bits; i < 32 && i * bits < lane * 32 + 32; ++i) {
        i32 shift = i32(i * bits) - i32(lane * 32);
        u32 q = of_lane[warp][i];
        word |= shift >= 0 ? q << shift : q >> -shift;
      }
      codes[unit * bits + lane] = word;
    }
    __syncwarp();
  }
  if (lane == 0) {
    scales[at] = narrow<T>(scale);
    biases[at] = narrow<T>(bias);
  }
}

template <typename S, typename Y> __device__ void dequantize(Y *y, const Quantized<S> &w, u64 units) {
  u32 in_row = w.dim / UNIT;
  for (u64 i = first(); i < units; i += step()) {
    u64 row = i / in_row;
    f32 values[UNIT];
    read_unit(w, row, u32(i - row * in_row), values);
    constexpr int N = PACK<Y>;
#pragma unroll
    for (int part = 0; part < UNIT / N; ++part) {
      Pack<Y, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = narrow<Y>(values[part * N + j]);
      reinterpret_cast<Pack<Y, N> *>(y + i * UNIT)[part] = out;
    }
  }
}

// As the sum of numbers of Y, the largest first, `apart` from each other: products with them add up to that with the f32.
// Two of f16 have its 24 bits but for the smallest numbers; of bf16 it takes three.
template <typename Y> constexpr int TERMS = 2;
template <> constexpr int TERMS<bf16> = 3;

template <typename S, typename Y> __device__ void dequantize_split(Y *y, u64 apart, const Quantized<S> &w, u64 units) {
  u32 in_row = w.dim / UNIT;
  for (u64 i = first(); i < units; i += step()) {
    u64 row = i / in_row;
    f32 rest[UNIT];
    read_unit(w, row, u32(i - row * in_row), rest);
#pragma unroll
    for (int term = 0; term < TERMS<Y>; ++term) {
      Pack<Y, UNIT> out;
#pragma unroll
      for (int j = 0; j < UNIT; ++j) {
        out[j] = narrow<Y>(rest[j]);
        rest[j] -= widen(out[j]);
      }
      reinterpret_cast<Pack<Y, UNIT> *>(y + term * apart)[i] = out;
    }
  }
}

#define QUANTIZE(T)                                                                                                    \
  extern "C" __global__ void quantize_##T(u32 *codes, T *scales, T *biases, const T *w, u64 groups, u32 bits,          \
                                          u32 group) {                                                                 \
    quantize<T>(codes, scales, biases, w, groups, bits, group);                                                        \
  }
QUANTIZE(f32)
QUANTIZE(bf16)
QUANTIZE(f16)

#define DEQUANTIZE(S, Y)                                                                                               \
  extern "C" __global__ void dequantize_##S##_##Y(Y *y, Quantized<S> w, u64 units) { dequantize<S, Y>(y, w, units); }
#define SPLIT(S, Y)                                                                                                    \
  extern "C" __global__ void dequantize_split_##S##_##Y(Y *y, u64 apart, Quantized<S> w, u64 units) {                  \
    dequantize_split<S, Y>(y, apart, w, units);                                                                        \
  }
#define FROM(S)                                                                                                        \
  DEQUANTIZE(S, f64) DEQUANTIZE(S, f32) DEQUANTIZE(S, bf16) DEQUANTIZE(S, f16) SPLIT(S, bf16) SPLIT(S, f16)
FROM(f32)
FROM(bf16)
FROM(f16)
