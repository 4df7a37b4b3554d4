// y[i] = x[0] + … + x[i] along an axis, or from the end.
//
// Straight lines: a block a line, which goes through it in tiles with what came before them; long lines are cut into
// chunks whose totals are summed first. Lines side by side have a thread each. Straight ones are bandwidth bound: one
// read (two where a line is cut) and one write an element.
#include "integer.cuh"

constexpr int EACH = 4, THREADS = 256, TILE = EACH * THREADS;

template <typename A> __device__ __forceinline__ A plus(A a, A b) {
  if constexpr (IS_INT<A>) return wrapping_add(a, b);
  else return a + b;
}
struct Plus {
  template <typename A> __device__ __forceinline__ A operator()(A a, A b) const { return plus(a, b); }
};

// The sum of what threads before this one have; `total` becomes that of all.
template <typename A> __device__ A block_before(A value, A &total) {
  __shared__ A warps[THREADS / WARP];
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  A sum = value;
#pragma unroll
  for (u32 distance = 1; distance < WARP; distance *= 2) {
    A other = __shfl_up_sync(0xFFFFFFFFu, sum, distance);
    if (lane >= distance) sum = plus(other, sum);
  }
  if (lane == WARP - 1) warps[warp] = sum;
  __syncthreads();
  A before = 0;
  total = 0;
  for (u32 i = 0; i < THREADS / WARP; ++i) {
    if (i == warp) before = total;
    total = plus(total, warps[i]);
  }
  __syncthreads();
  A own = __shfl_up_sync(0xFFFFFFFFu, sum, 1);
  return lane == 0 ? before : plus(before, own);
}

// Chunk `blockIdx.y` of line `blockIdx.x`: its ends in the order of the sum.
struct Chunk {
  u64 from, to;
};
__device__ __forceinline__ Chunk chunk_of(u64 length, u64 chunk) {
  u64 from = blockIdx.y * chunk;
  return {from, from + chunk < length ? from + chunk : length};
}

template <typename T, typename A> __device__ void totals(A *sums, const T *x, u64 length, u64 chunk, u32 reverse) {
  x += blockIdx.x * length;
  auto [from, to] = chunk_of(length, chunk);
  A sum = 0;
  for (u64 i = from + threadIdx.x; i < to; i += THREADS) sum = plus(sum, A(widen(x[reverse ? length - 1 - i : i])));
  sum = block_all(sum, Plus{}, A(0));
  if (threadIdx.x == 0) sums[u64(blockIdx.x) * gridDim.y + blockIdx.y] = sum;
}

template <typename T, typename Y, typename A>
__device__ void lines(Y *y, const A *sums, const T *x, u64 length, u64 chunk, u32 reverse) {
  x += blockIdx.x * length;
  y += blockIdx.x * length;
  auto [from, to] = chunk_of(length, chunk);
  A carry = 0;
  if (blockIdx.y > 0) {
    for (u32 i = threadIdx.x; i < blockIdx.y; i += THREADS) carry = plus(carry, sums[u64(blockIdx.x) * gridDim.y + i]);
    carry = block_all(carry, Plus{}, A(0));
  }
  for (u64 tile = from; tile < to; tile += TILE) {
    u64 start = tile + threadIdx.x * EACH;
    A own[EACH], sum = 0, total;
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
      u64 i = start + j;
      if (i < to) sum = plus(sum, A(widen(x[reverse ? length - 1 - i : i])));
      own[j] = sum;
    }
    A before = plus(carry, block_before(sum, total));
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
      u64 i = start + j;
      if (i < to) y[reverse ? length - 1 - i : i] = narrow<Y>(plus(before, own[j]));
    }
    carry = plus(carry, total);
  }
}

template <typename T, typename Y, typename A>
__device__ void columns(Y *y, const T *x, u64 length, u64 inner, u64 lines, u32 reverse) {
  for (u64 line = first(); line < lines; line += step()) {
    u64 at = line / inner * length * inner + line % inner;
    A sum = 0;
#pragma unroll 4
    for (u64 i = 0; i < length; ++i) {
      u64 place = at + (reverse ? length - 1 - i : i) * inner;
      sum = plus(sum, A(widen(x[place])));
      y[place] = narrow<Y>(sum);
    }
  }
}

#define KERNELS(T, Y)                                                                                                  \
  extern "C" __global__ void cumsum_totals_##T(Acc<T> *sums, const T *x, u64 length, u64 chunk, u32 reverse) {         \
    totals(sums, x, length, chunk, reverse);                                                                           \
  }                                                                                                                    \
  extern "C" __global__ void cumsum_##T(Y *y, const Acc<T> *sums, const T *x, u64 length, u64 chunk, u32 reverse) {    \
    lines(y, sums, x, length, chunk, reverse);                                                                         \
  }                                                                                                                    \
  extern "C" __global__ void cumsum_columns_##T(Y *y, const T *x, u64 length, u64 inner, u64 lines, u32 reverse) {     \
    columns<T, Y, Acc<T>>(y, x, length, inner, lines, reverse);                                                        \
  }
KERNELS(f64, f64)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(i64, i64)
KERNELS(i32, i64)
KERNELS(u32, i64)
KERNELS(i8, i64)
KERNELS(u8, i64)
