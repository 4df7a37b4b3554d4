// y = a · b for at most 16 rows of a: decoding. The sum of an element has an order of its own, whatever the number of
// rows. Bandwidth bound by b, each of whose elements is read once for all rows: many bytes must be on their way at once.
#include "few_rows.cuh"

// The part of a column that a warp has.
struct Share {
  u32 column, part, lane;

  // `split` warps have a column, neighbours in a block.
  __device__ __forceinline__ explicit Share(u32 split) : lane(threadIdx.x % WARP) {
    u32 warp = threadIdx.x / WARP;
    column = blockIdx.x * (WARPS / split) + warp / split;
    part = warp % split;
  }
};

// Asks for what a warp will read of a column, before anything of it may be read: it may be about to be written.
template <typename T>
__device__ __forceinline__ void fetch_share(const T *column, u32 k, const Share &own, u32 split) {
  constexpr u32 LINE = 128;
  auto start = reinterpret_cast<const unsigned char *>(column);
  u64 bytes = u64(k) * sizeof(T);
  for (u64 i = (u64(own.part) * WARP + own.lane) * LINE; i < bytes; i += u64(split) * WARP * LINE)
    fetch_line(start + i);
}

// Where a matrix of the batch starts in a and in b.
__device__ __forceinline__ void starts(const Nd<2> &lead, i64 (&at)[2]) { locate(lead, blockIdx.y, at); }

// Kernels exist for up to 1, 4 and 16 rows: what a row adds up does not depend on which of them it is in.

// sums[r] += a[r] · b for whole packs from `at` on, `next` elements apart; `at` moves on behind them. What takes the time is
// latency, so COUNT packs of b and, where there is one row, of a are on their way before the first is used: as many as there
// are at most, and then what is left at once.
template <int COUNT, int ROWS, typename T>
__device__ __forceinline__ void add_packs(Acc<T> (&sums)[ROWS], const T *a, const T *b, u32 &at, u32 next, u32 k, u32 m,
                                          i64 a_down) {
  constexpr int N = PACK<T>;
  for (; at + (COUNT - 1) * next + N <= k; at += COUNT * next) {
    Pack<T, N> w[COUNT], v[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; ++i) w[i] = pack_at(b + at + i * next);
    if constexpr (ROWS == 1) {
#pragma unroll
      for (int i = 0; i < COUNT; ++i) v[i] = pack_at(a + at + i * next);
    }
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        if (r >= m) break;
        if constexpr (ROWS > 1) v[i] = pack_at(a + i64(r) * a_down + at + i * next);
        add_products<T>(sums[r], v[i], w[i]);
      }
  }
  // For several rows what is read of a takes longer.
  if constexpr (COUNT > 1) add_packs<ROWS == 1 ? COUNT - 1 : COUNT / 2, ROWS, T>(sums, a, b, at, next, k, m, a_down);
}

// Asks for what a warp will read of b.
template <typename T>
__device__ __forceinline__ void fetch_column(const T *b, const Nd<2> &lead, u32 n, u32 k, i64 across, u32 split) {
  Share own(split);
  if (own.column >= n) return;
  i64 at[2];
  starts(lead, at);
  fetch_share(b + at[1] + i64(own.column) * across, k, own, split);
}

// Columns of b are straight (the layout of a linear layer's weight): `split` warps for each, as many as the length of the
// sums wants. A lane takes packs of 16 bytes, the lanes of all these warps side by side.
template <int ROWS, typename T, typename Y>
__device__ void by_column(Y *y, const T *a, const T *b, const Nd<2> &lead, u32 m, u32 n, u32 k, i64 a_down, i64 a_across,
                          i64 across, u32 split) {
  using A = Acc<T>;
  constexpr int N = PACK<T>;
  __shared__ A partial[WARPS][ROWS];
  i64 at[2];
  starts(lead, at);
  a += at[0];
  b += at[1];
  y += u64(blockIdx.y) * m * n;
  Share own(split);
  A sums[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) sums[r] = 0;
  if (own.column < n) {
    const T *right = b + i64(own.column) * across;
    // The same elements go to the same lane in the same order, whether they are read at once or one by one.
    bool packed = u64(right) % 16 == 0 && a_across == 1 && a_down % N == 0 && u64(a) % 16 == 0;
    u32 next = split * WARP * N, i = (own.part * WARP + own.lane) * N;
    if (packed) add_packs<AHEAD, ROWS, T>(sums, a, right, i, next, k, m, a_down);
    for (; i < k; i += next) {
      for (int j = 0; j < N && i + j < k; ++j) {
        A w = widen(right[i + j]);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
          if (r >= m) break;
          sums[r] += A(widen(a[i64(r) * a_down + i64(i + j) * a_across])) * w;
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    if (r >= m) break;
    A sum = warp_all(sums[r], Add{});
    if (split > 1) {
      if (own.lane == 0) partial[threadIdx.x / WARP][r] = sum;
    } else if (own.lane == 0 && own.column < n) {
      y[u64(r) * n + own.column] = narrow<Y>(sum);
    }
  }
  if (split == 1) return;
  __syncthreads();
  if (own.part != 0 || own.column >= n) return;
  u32 warp = threadIdx.x / WARP;
  for (u32 r = own.lane; r < m; r += WARP) {
    A sum = partial[warp][r];
    for (u32 p = 1; p < split; ++p) sum += partial[warp + p][r];
    y[u64(r) * n + own.column] = narrow<Y>(sum);
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

// A multiprocessor has room for three blocks, which have 60 KiB on their way; the sums of many rows leave less.
#define KERNELS_OF(ROWS, T, Y)                                                                                         \
  OVERLAPPING(__launch_bounds__(WARPS *WARP, ROWS > 4 ? 2 : 3), by_column_##ROWS##_##T##_##Y,                          \
              (Y * y, const T *a, const T *b, Nd<2> lead, u32 m, u32 n, u32 k, i64 a_down, i64 a_across, i64 across,   \
               u32 split),                                                                                             \
              fetch_column(b, lead, n, k, across, split),                                                              \
              by_column<ROWS, T, Y>(y, a, b, lead, m, n, k, a_down, a_across, across, split);)                         \
  OVERLAPPING(, by_row_##ROWS##_##T##_##Y,                                                                             \
              (Y * y, const T *a, const T *b, Nd<2> lead, u32 m, u32 n, u32 k, i64 a_down, i64 a_across, i64 down,     \
               i64 across),                                                                                            \
              , by_row<ROWS, T, Y>(y, a, b, lead, m, n, k, a_down, a_across, down, across);)
#define KERNELS(T, Y) KERNELS_OF(1, T, Y) KERNELS_OF(4, T, Y) KERNELS_OF(16, T, Y)
KERNELS(f64, f64)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(bf16, f32)
KERNELS(f16, f16)
KERNELS(f16, f32)
