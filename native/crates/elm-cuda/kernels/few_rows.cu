// y = a · b for at most 16 rows of a: decoding. The sum of an element has an order of its own, whatever the number of
// rows. Bandwidth bound by b: each of its elements is read once for all rows.
#include "common.cuh"

// Packs of a column that a lane has on their way at once.
constexpr int AHEAD = 5;

// Where a matrix of the batch starts in a and in b.
__device__ __forceinline__ void starts(const Nd<2> &lead, i64 (&at)[2]) { locate(lead, blockIdx.y, at); }

// Kernels exist for up to 1, 4 and 16 rows: what a row adds up does not depend on which of them it is in.

// sums[r] += a[r] · w for one pack of each row.
template <int ROWS, typename T>
__device__ __forceinline__ void add_packs(Acc<T> (&sums)[ROWS], const T *a, const Pack<T, PACK<T>> &w, u32 m,
                                          i64 a_down) {
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (r >= m) break;
    auto v = *reinterpret_cast<const Pack<T, PACK<T>> *>(a + i64(r) * a_down);
#pragma unroll
    for (int j = 0; j < PACK<T>; ++j) sums[r] += Acc<T>(widen(v[j])) * Acc<T>(widen(w[j]));
  }
}

// Columns of b are straight (the layout of a linear layer's weight): a warp for each, 8 a block. A lane takes packs of
// 16 bytes, 32 lanes side by side.
template <int ROWS, typename T, typename Y>
__device__ void by_column(Y *y, const T *a, const T *b, const Nd<2> &lead, u32 m, u32 n, u32 k, i64 a_down, i64 a_across,
                          i64 across) {
  using A = Acc<T>;
  constexpr int N = PACK<T>;
  i64 at[2];
  starts(lead, at);
  a += at[0];
  b += at[1];
  y += u64(blockIdx.y) * m * n;
  u32 column = blockIdx.x * 8 + threadIdx.x / WARP, lane = threadIdx.x % WARP;
  if (column >= n) return;
  const T *right = b + i64(column) * across;
  A sums[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) sums[r] = 0;
  // The same elements go to the same lane in the same order, whether they are read at once or one by one.
  bool packed = u64(right) % 16 == 0 && a_across == 1 && a_down % N == 0 && u64(a) % 16 == 0;
  u32 base = lane * N;
  if (packed) {
    // Several loads on their way before the first is used: what a column takes is latency, not arithmetic.
    for (; base + (AHEAD - 1) * WARP * N + N <= k; base += AHEAD * WARP * N) {
      Pack<T, N> w[AHEAD];
#pragma unroll
      for (int i = 0; i < AHEAD; ++i) w[i] = *reinterpret_cast<const Pack<T, N> *>(right + base + i * WARP * N);
#pragma unroll
      for (int i = 0; i < AHEAD; ++i) add_packs<ROWS, T>(sums, a + base + i * WARP * N, w[i], m, a_down);
    }
    for (; base + N <= k; base += WARP * N) {
      auto w = *reinterpret_cast<const Pack<T, N> *>(right + base);
      add_packs<ROWS, T>(sums, a + base, w, m, a_down);
    }
  }
  for (; base < k; base += WARP * N) {
    for (int j = 0; j < N && base + j < k; ++j) {
      A w = widen(right[base + j]);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        if (r >= m) break;
        sums[r] += A(widen(a[i64(r) * a_down + i64(base + j) * a_across])) * w;
      }
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (r >= m) break;
    A sum = warp_all(sums[r], Add{});
    if (lane == 0) y[u64(r) * n + column] = narrow<Y>(sum);
  }
}

// Rows of b are straight: a block has 64 columns, four threads along the sum for each, whose parts are added in order.
template <int ROWS, typename T, typename Y>
__device__ void by_row(Y *y, const T *a, const T *b, const Nd<2> &lead, u32 m, u32 n, u32 k, i64 a_down, i64 a_across,
                       i64 down, i64 across) {
  using A = Acc<T>;
  constexpr int COLUMNS = 64, PARTS = 4;
  __shared__ A partial[PARTS][COLUMNS];
  i64 at[2];
  starts(lead, at);
  a += at[0];
  b += at[1];
  y += u64(blockIdx.y) * m * n;
  u32 local = threadIdx.x % COLUMNS, part = threadIdx.x / COLUMNS, column = blockIdx.x * COLUMNS + local;
  A sums[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) sums[r] = 0;
  if (column < n) {
#pragma unroll 4
    for (u32 i = part; i < k; i += PARTS) {
      A w = widen(b[i64(i) * down + i64(column) * across]);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        if (r >= m) break;
        sums[r] += A(widen(a[i64(r) * a_down + i64(i) * a_across])) * w;
      }
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (r >= m) break;
    partial[part][local] = sums[r];
    __syncthreads();
    if (part == 0 && column < n) {
      A sum = partial[0][local];
      for (int p = 1; p < PARTS; ++p) sum += partial[p][local];
      y[u64(r) * n + column] = narrow<Y>(sum);
    }
    __syncthreads();
  }
}

#define KERNELS_OF(ROWS, T, Y)                                                                                         \
  extern "C" __global__ void by_column_##ROWS##_##T##_##Y(Y *y, const T *a, const T *b, Nd<2> lead, u32 m, u32 n, u32 k, \
                                                          i64 a_down, i64 a_across, i64 down, i64 across) {            \
    by_column<ROWS, T, Y>(y, a, b, lead, m, n, k, a_down, a_across, across);                                           \
  }                                                                                                                    \
  extern "C" __global__ void by_row_##ROWS##_##T##_##Y(Y *y, const T *a, const T *b, Nd<2> lead, u32 m, u32 n, u32 k,  \
                                                       i64 a_down, i64 a_across, i64 down, i64 across) {               \
    by_row<ROWS, T, Y>(y, a, b, lead, m, n, k, a_down, a_across, down, across);                                        \
  }
#define KERNELS(T, Y) KERNELS_OF(1, T, Y) KERNELS_OF(4, T, Y) KERNELS_OF(16, T, Y)
KERNELS(f64, f64)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(bf16, f32)
KERNELS(f16, f16)
KERNELS(f16, f32)
