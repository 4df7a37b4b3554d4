// sum = x + branch, normed = rmsNorm(sum) · weight, h = normed · bᵀ and perhaps y = swiglu(h), of one row: the ops that
// follow each other in a generated token, as one kernel with all their results and their very bits.
//
// Every block norms the row for itself, which takes less than waiting for another kernel to do it. The columns and the
// norm's weight are on their way meanwhile.
#include "async_copy.cuh"
#include "rms_norm.cuh"
#include "row_product.cuh"
#include "sigmoid.cuh"

// Packs of x and of the branch that a thread keeps; `add_rms_norm.cu` has the same.
constexpr int KEPT_OF_BOTH = KEPT / 2;

// With two halves, `n` columns are n / 2 of the gate and as many of the value. The row is shared by `team` threads, as
// `teams.rs` would have it, which keep all of it.
template <int HALVES, typename T, typename W>
__device__ void norm_product(T *sum, T *normed, T *h, T *y, const T *x, const T *branch, const W *weight, const T *b, u32 n,
                             u32 k, i64 across, u32 split, u32 team, f64 eps) {
  using A = Acc<T>;
  constexpr int N = PACK<T>, STEP = ROW_WARPS * WARP * N;
  extern __shared__ __align__(16) unsigned char memory[];
  T *own_sum = reinterpret_cast<T *>(memory), *row = own_sum + k;
  W *own_weight = reinterpret_cast<W *>(row + k);
  // Threads outside of the team stand behind the end of the row.
  Team all = {threadIdx.x < team ? threadIdx.x : k, team, 0};
  // A thread copies what it will read: nobody else has to wait for it.
  for (u32 at = all.rank * N; at < k; at += team * N)
    for (u32 i = 0; i < N * sizeof(W); i += 16)
      copy16(shared_address(own_weight + at) + i, reinterpret_cast<const unsigned char *>(weight + at) + i, true);
  u32 units = n / HALVES;
  Columns<T, HALVES> columns(b, units, k, across, split);
  typename Columns<T, HALVES>::Packs packs;
  columns.read(packs);
  copies_wait();
  rms_forward<T, T, W, N, KEPT_OF_BOTH>(own_sum, row, nullptr, x, branch, own_weight, k, eps, all);
  __syncthreads();
  if (blockIdx.x == 0) {
    for (u32 i = threadIdx.x * N; i < k; i += STEP) {
      *reinterpret_cast<Pack<T, N> *>(sum + i) = pack_at(own_sum + i);
      *reinterpret_cast<Pack<T, N> *>(normed + i) = pack_at(row + i);
    }
  }
  columns.multiply(row, packs, [&](u32 unit, const A(&sums)[HALVES]) {
    if (threadIdx.x % WARP != 0) return;
    T of[HALVES];
#pragma unroll
    for (int i = 0; i < HALVES; ++i) h[i * units + unit] = of[i] = narrow<T>(sums[i]);
    if constexpr (HALVES == 2) {
      A gate = widen(of[0]), s, rest;
      sigmoids(gate, s, rest);
      y[unit] = narrow<T>(gate * s * A(widen(of[1])));
    }
  });
}

#define KERNEL(NAME, HALVES, T, W)                                                                                     \
  OVERLAPPING(__launch_bounds__(ROW_WARPS *WARP), NAME##_##T##_##W,                                                    \
              (T * sum, T *normed, T *h, T *y, const T *x, const T *branch, const W *weight, const T *b, u32 n, u32 k, \
               i64 across, u32 split, u32 ahead, u32 team, f64 eps),                                                   \
              fetch_units<HALVES>(b, n / HALVES, k, across, ahead),                                                    \
              norm_product<HALVES, T, W>(sum, normed, h, y, x, branch, weight, b, n, k, across, split, team, eps);)
#define KERNELS(T, W) KERNEL(norm_product, 1, T, W) KERNEL(norm_swiglu, 2, T, W)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(bf16, f32)
KERNELS(f16, f32)
