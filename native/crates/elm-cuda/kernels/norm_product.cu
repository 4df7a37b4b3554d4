// sum = x + branch, normed = rmsNorm(sum) · weight, h = normed · bᵀ and perhaps y = swiglu(h), of one row: the ops that
// follow each other in a generated token, as one kernel with all their results and their very bits.
//
// Every block norms the row for itself, which takes less than waiting for another kernel to do it. What a block reads of b
// is on its way meanwhile.
#include "few_rows.cuh"
#include "rms_norm.cuh"
#include "sigmoid.cuh"

// Packs of x and of the branch that a thread keeps; `add_rms_norm.cu` has the same.
constexpr int KEPT_OF_BOTH = KEPT / 2;

// What a lane has of a unit: of a column, or of the gate's and the value's for the same element of y.
template <typename T, int HALVES> struct Unit {
  Pack<T, PACK<T>> packs[HALVES][AHEAD];

  // `b` begins with the first unit's column; the second half's columns are `half` further on.
  __device__ __forceinline__ void read(const T *b, u32 unit, i64 across, i64 half, u32 k, u32 at, u32 next) {
#pragma unroll
    for (int h = 0; h < HALVES; ++h)
#pragma unroll
      for (int i = 0; i < AHEAD; ++i)
        if (at + i * next < k) packs[h][i] = pack_at(b + h * half + i64(unit) * across + at + i * next);
  }

  __device__ __forceinline__ void multiply(Acc<T> (&sums)[HALVES], const T *a, u32 k, u32 at, u32 next) const {
#pragma unroll
    for (int h = 0; h < HALVES; ++h) sums[h] = 0;
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
      if (at + i * next >= k) break;
      auto v = pack_at(a + at + i * next);
#pragma unroll
      for (int h = 0; h < HALVES; ++h) add_products<T>(sums[h], v, packs[h][i]);
    }
  }
};

// Of `n` columns of b, each of `k` elements, `across` elements apart. A row is shared by `team` threads, as `teams.rs` would
// have it, which keep all of it; a column by `split` warps, of which a lane has at most AHEAD packs. All is read in packs.
// With two halves there are n / 2 units.
template <int HALVES, typename T, typename W>
__device__ void norm_product(T *sum, T *normed, T *h, T *y, const T *x, const T *branch, const W *weight, const T *b, u32 n,
                             u32 k, i64 across, u32 split, u32 team, f64 eps) {
  using A = Acc<T>;
  constexpr int N = PACK<T>;
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ A partial[2][WARPS][HALVES];
  T *own_sum = reinterpret_cast<T *>(memory), *row = own_sum + k;
  Share own(split);
  u32 units = n / HALVES, per_round = gridDim.x * (WARPS / split), unit = own.column;
  u32 next = split * WARP * N, at = (own.part * WARP + own.lane) * N;
  i64 half = i64(units) * across;
  Unit<T, HALVES> columns;
  if (unit < units) columns.read(b, unit, across, half, k, at, next);

  // Threads outside of the team stand behind the end of the row.
  Team all = {threadIdx.x < team ? threadIdx.x : k, team, 0};
  rms_forward<T, T, W, N, KEPT_OF_BOTH>(own_sum, row, nullptr, x, branch, weight, k, eps, all);
  __syncthreads();
  if (blockIdx.x == 0) {
    for (u32 i = threadIdx.x * N; i < k; i += WARPS * WARP * N) {
      *reinterpret_cast<Pack<T, N> *>(sum + i) = pack_at(own_sum + i);
      *reinterpret_cast<Pack<T, N> *>(normed + i) = pack_at(row + i);
    }
  }

  // All warps of a block go round equally often.
  u32 rounds = (units + per_round - 1) / per_round;
  for (u32 round = 0; round < rounds; ++round, unit += per_round) {
    A sums[HALVES];
    columns.multiply(sums, row, k, at, next);
    if (unit + per_round < units) columns.read(b, unit + per_round, across, half, k, at, next);
#pragma unroll
    for (int i = 0; i < HALVES; ++i) sums[i] = warp_all(sums[i], Add{});
    if (split > 1) {
      // The other half is still being read where a warp is a round behind.
      auto &parts = partial[round % 2];
      u32 warp = threadIdx.x / WARP;
      if (own.lane == 0)
#pragma unroll
        for (int i = 0; i < HALVES; ++i) parts[warp][i] = sums[i];
      __syncthreads();
      if (own.part != 0) continue;
#pragma unroll
      for (int i = 0; i < HALVES; ++i) {
        sums[i] = parts[warp][i];
        for (u32 p = 1; p < split; ++p) sums[i] += parts[warp + p][i];
      }
    }
    if (own.lane != 0 || unit >= units) continue;
    T of[HALVES];
#pragma unroll
    for (int i = 0; i < HALVES; ++i) h[i * units + unit] = of[i] = narrow<T>(sums[i]);
    if constexpr (HALVES == 2) {
      A gate = widen(of[0]), s, rest;
      sigmoids(gate, s, rest);
      y[unit] = narrow<T>(gate * s * A(widen(of[1])));
    }
  }
}

// Asks for the first unit of each warp.
template <int HALVES, typename T>
__device__ __forceinline__ void fetch_units(const T *b, u32 n, u32 k, i64 across, u32 split) {
  Share own(split);
  u32 units = n / HALVES;
  if (own.column >= units) return;
#pragma unroll
  for (int i = 0; i < HALVES; ++i) fetch_share(b + i64(i * units + own.column) * across, k, own, split);
}

// Two blocks have room on a multiprocessor: `BLOCKS` of `norm_product.rs`.
#define KERNEL(NAME, HALVES, T, W)                                                                                     \
  OVERLAPPING(__launch_bounds__(WARPS *WARP, 2)     , NAME##_##T##_##W,                                                \
              (T * sum, T *normed, T *h, T *y, const T *x, const T *branch, const W *weight, const T *b, u32 n, u32 k, \
               i64 across, u32 split, u32 team, f64 eps),                                                              \
              fetch_units<HALVES>(b, n, k, across, split),                                                             \
              norm_product<HALVES, T, W>(sum, normed, h, y, x, branch, weight, b, n, k, across, split, team, eps);)
#define KERNELS(T, W) KERNEL(norm_product, 1, T, W) KERNEL(norm_swiglu, 2, T, W)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(bf16, f32)
KERNELS(f16, f32)
