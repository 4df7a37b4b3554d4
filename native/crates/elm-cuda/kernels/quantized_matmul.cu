// y = x · Wᵀ (`by_row`) or x · W (`by_column`) for at most 16 rows of x and a quantized W, whose numbers are made in
// registers. The sum of an element has an order of its own, whatever the number of rows.
//
// Bandwidth bound by the codes: each is read once for all rows of x.
#include "quantized.cuh"

// Rows of W of a warp: they share the reads of x.
constexpr int PAIR = 2;

template <typename T> __device__ __forceinline__ void read_x(const T *x, bool packed, Acc<T> (&out)[UNIT]) {
  constexpr int N = PACK<T>;
  if (packed) {
#pragma unroll
    for (int part = 0; part < UNIT / N; ++part) {
      auto values = reinterpret_cast<const Pack<T, N> *>(x)[part];
#pragma unroll
      for (int j = 0; j < N; ++j) out[part * N + j] = widen(values[j]);
    }
  } else {
#pragma unroll
    for (int j = 0; j < UNIT; ++j) out[j] = widen(x[j]);
  }
}

// A warp has two rows of W; lane l takes units l, l + 32, ….
template <typename T, typename S, int M>
__device__ void by_row(T *y, const T *x, const Quantized<S> &w, u32 m, u32 rows) {
  using A = Acc<T>;
  u32 lane = threadIdx.x % WARP;
  u64 row = (u64(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP) * PAIR;
  if (row >= rows) return;
  u64 rows_of[PAIR];
#pragma unroll
  for (int p = 0; p < PAIR; ++p) rows_of[p] = row + p < rows ? row + p : row;
  A sums[M][PAIR];
#pragma unroll
  for (int r = 0; r < M; ++r)
#pragma unroll
    for (int p = 0; p < PAIR; ++p) sums[r][p] = 0;
  // Rows of x are multiples of 32 numbers.
  bool packed = u64(x) % 16 == 0;
#pragma unroll 2
  for (u32 unit = lane; unit < w.dim / UNIT; unit += WARP) {
    f32 numbers[PAIR][UNIT];
#pragma unroll
    for (int p = 0; p < PAIR; ++p) read_unit(w, rows_of[p], unit, numbers[p]);
#pragma unroll
    for (int r = 0; r < M; ++r) {
      if (r >= m) break;
      A values[UNIT];
      read_x(x + u64(r) * w.dim + unit * UNIT, packed, values);
#pragma unroll
      for (int p = 0; p < PAIR; ++p)
#pragma unroll
        for (int j = 0; j < UNIT; ++j) sums[r][p] += values[j] * A(numbers[p][j]);
    }
  }
#pragma unroll
  for (int r = 0; r < M; ++r) {
    if (r >= m) break;
#pragma unroll
    for (int p = 0; p < PAIR; ++p) {
      A sum = warp_all(sums[r][p], Add{});
      if (lane == 0 && row + p < rows) y[u64(r) * rows + row + p] = narrow<T>(sum);
    }
  }
}

// A block has 8 units of columns; 32 threads share the rows of W for each, and their parts are added in order.
template <typename T, typename S, int M>
__device__ void by_column(T *y, const T *x, const Quantized<S> &w, u32 m, u32 rows) {
  using A = Acc<T>;
  constexpr int UNITS = 8, PARTS = 32;
  __shared__ A partial[PARTS][UNITS * UNIT];
  u32 local = threadIdx.x % UNITS, part = threadIdx.x / UNITS, unit = blockIdx.x * UNITS + local;
  A sums[M][UNIT];
#pragma unroll
  for (int r = 0; r < M; ++r)
#pragma unroll
    for (int j = 0; j < UNIT; ++j) sums[r][j] = 0;
  if (unit < w.dim / UNIT) {
    for (u32 row = part; row < rows; row += PARTS) {
      f32 numbers[UNIT];
      read_unit(w, row, unit, numbers);
#pragma unroll
      for (int r = 0; r < M; ++r) {
        if (r >= m) break;
        A value = widen(x[u64(r) * rows + row]);
#pragma unroll
        for (int j = 0; j < UNIT; ++j) sums[r][j] += value * A(numbers[j]);
      }
    }
  }
  u32 column = blockIdx.x * (UNITS * UNIT) + threadIdx.x;
#pragma unroll
  for (int r = 0; r < M; ++r) {
    if (r >= m) break;
#pragma unroll
    for (int j = 0; j < UNIT; ++j) partial[part][local * UNIT + j] = sums[r][j];
    __syncthreads();
    if (threadIdx.x < UNITS * UNIT && column < w.dim) {
      A sum = 0;
      for (int p = 0; p < PARTS; ++p) sum += partial[p][threadIdx.x];
      y[u64(r) * w.dim + column] = narrow<T>(sum);
    }
    __syncthreads();
  }
}

template <typename T> __device__ void narrow_all(T *y, const f32 *x, u64 n) {
  for (u64 i = first(); i < n; i += step()) y[i] = narrow<T>(x[i]);
}

#define KERNELS(T, S, M)                                                                                               \
  extern "C" __global__ void by_row_##M##_##T##_##S(T *y, const T *x, Quantized<S> w, u32 m, u32 rows) {               \
    by_row<T, S, M>(y, x, w, m, rows);                                                                                 \
  }                                                                                                                    \
  extern "C" __global__ void by_column_##M##_##T##_##S(T *y, const T *x, Quantized<S> w, u32 m, u32 rows) {            \
    by_column<T, S, M>(y, x, w, m, rows);                                                                              \
  }
#define FOR_ROWS(T, S) KERNELS(T, S, 1) KERNELS(T, S, 4) KERNELS(T, S, 16)
#define FOR_SCALES(T) FOR_ROWS(T, f32) FOR_ROWS(T, bf16) FOR_ROWS(T, f16)
FOR_SCALES(f32)
FOR_SCALES(bf16)
FOR_SCALES(f16)
// f64 is for checks, not for speed.
KERNELS(f64, f32, 16)
KERNELS(f64, bf16, 16)
KERNELS(f64, f16, 16)

extern "C" __global__ void narrow_all_bf16(bf16 *y, const f32 *x, u64 n) { narrow_all(y, x, n); }
extern "C" __global__ void narrow_all_f16(f16 *y, const f32 *x, u64 n) { narrow_all(y, x, n); }
