// Gradients of a weight that all rows share: blocks leave sums over their rows, which are added here in order.
#pragma once
#include "row.cuh"

// out[i] = Σ_r partial[r][i] over rows that begin `pitch` apart: 32 columns a block, 32 threads along each.
template <typename A, typename W>
__device__ void column_sums(W *out, const A *partial, u32 rows, u32 dim, u64 pitch) {
  __shared__ A sums[WARP][WARP + 1];
  u32 lane = threadIdx.x % WARP, part = threadIdx.x / WARP, column = blockIdx.x * WARP + lane;
  A sum = 0;
  if (column < dim)
#pragma unroll 8
    for (u32 row = part; row < rows; row += WARP) sum += partial[row * pitch + column];
  sums[part][lane] = sum;
  __syncthreads();
  // A warp has the parts of one column.
  sum = warp_all(sums[lane][part], Add{});
  column = blockIdx.x * WARP + part;
  if (lane == 0 && column < dim) out[column] = narrow<W>(sum);
}

// Sums over rows that a thread keeps for its elements of a row: in registers where it keeps the row's one pack, else in
// `to`, where the block leaves them and which no other thread touches.
template <typename A, int N, int K> struct ColumnSums {
  static_assert(K <= 1);
  A own[N];
  A *to;

  __device__ __forceinline__ ColumnSums(const Team &team, A *to, u32 dim) : to(to) {
#pragma unroll
    for (int j = 0; j < N; ++j) own[j] = 0;
    if constexpr (K == 0)
      for (u32 at = team.rank * N; at < dim; at += team.size * N)
        for (int j = 0; j < N; ++j) to[at + j] = 0;
  }
  // To element `at + j` of the row.
  __device__ __forceinline__ void add(u32 at, int j, A value) {
    if constexpr (K > 0)
      own[j] += value;
    else
      to[at + j] += value;
  }
  __device__ __forceinline__ void leave(const Team &team, u32 dim) const {
    u32 at = team.rank * N;
    if (K > 0 && at < dim)
#pragma unroll
      for (int j = 0; j < N; ++j) to[at + j] = own[j];
  }
};
