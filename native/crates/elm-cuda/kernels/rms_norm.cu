// y = round(x / sqrt(mean(x²) + eps)) · weight, one block a row, and the gradient.
//
// With x̂ = x · rstd and g = grad · weight: dx = rstd · (g − x̂ · mean(g · x̂)), dweight = Σ_rows grad · x̂.
// Bandwidth bound: forward one read and one write an element; backward two reads and one write. A row is kept in
// registers between its two passes.
#include "common.cuh"

// Values of a row that one thread keeps: enough for 4096 elements with 256 threads.
constexpr int KEPT = 16;

// Element `k` of the thread among those of a row: packs of N lie side by side.
template <int N> __device__ __forceinline__ u32 element(int k) {
  return (u32(k / N) * blockDim.x + threadIdx.x) * N + k % N;
}

template <typename T, typename W>
__device__ void rms_norm(T *y, Acc<T> *rstd, const T *x, const W *weight, u32 dim, f64 eps) {
  using A = Acc<T>;
  x += u64(blockIdx.x) * dim;
  y += u64(blockIdx.x) * dim;
  constexpr int N = PACK<T>;
  bool packed = dim % N == 0 && dim <= KEPT / N * N * blockDim.x && u64(weight) % 16 == 0;
  A squares = 0;
  Pack<T, N> kept[KEPT / N];
  if (packed) {
#pragma unroll
    for (int k = 0; k < KEPT / N; ++k) {
      u32 at = element<N>(k * N);
      if (at >= dim) break;
      kept[k] = *reinterpret_cast<const Pack<T, N> *>(x + at);
#pragma unroll
      for (int j = 0; j < N; ++j) squares += A(widen(kept[k][j])) * A(widen(kept[k][j]));
    }
  } else {
    for (u32 i = threadIdx.x; i < dim; i += blockDim.x) squares += A(widen(x[i])) * A(widen(x[i]));
  }
  A scale = A(1) / sqrt(block_sum(squares) / A(dim) + A(eps));
  if (threadIdx.x == 0 && rstd) rstd[blockIdx.x] = scale;
  // The definition rounds to the input's dtype before the weight.
  auto out = [&](T value, W w) { return narrow<T>(A(widen(narrow<T>(A(widen(value)) * scale))) * A(widen(w))); };
  if (packed) {
#pragma unroll
    for (int k = 0; k < KEPT / N; ++k) {
      u32 at = element<N>(k * N);
      if (at >= dim) break;
#pragma unroll
      for (int j = 0; j < N; ++j) kept[k][j] = out(kept[k][j], weight[at + j]);
      *reinterpret_cast<Pack<T, N> *>(y + at) = kept[k];
    }
  } else {
    for (u32 i = threadIdx.x; i < dim; i += blockDim.x) y[i] = out(x[i], weight[i]);
  }
}

// Block b takes rows b, b + blocks, … and leaves Σ grad · x̂ over them in `partial[b]`.
template <typename T, typename W>
__device__ void rms_norm_backward(T *dx, Acc<T> *partial, const T *grad, const T *x, const W *weight,
                                  const Acc<T> *rstd, u32 rows, u32 dim) {
  using A = Acc<T>;
  extern __shared__ __align__(16) unsigned char memory[];
  A *sums = reinterpret_cast<A *>(memory);
  for (u32 i = threadIdx.x; i < dim; i += blockDim.x) sums[i] = 0;
  for (u32 row = blockIdx.x; row < rows; row += gridDim.x) {
    const T *g = grad + u64(row) * dim, *v = x + u64(row) * dim;
    A scale = rstd[row], dot = 0;
    // A thread meets the same elements in every row, so `sums` needs no barrier.
    for (u32 i = threadIdx.x; i < dim; i += blockDim.x) {
      A gx = A(widen(g[i])) * A(widen(v[i])) * scale;
      sums[i] += gx;
      dot += gx * A(widen(weight[i]));
    }
    A mean = block_sum(dot) / A(dim);
    if (dx == nullptr) continue;
    for (u32 i = threadIdx.x; i < dim; i += blockDim.x) {
      A out = scale * (A(widen(g[i])) * A(widen(weight[i])) - A(widen(v[i])) * scale * mean);
      dx[u64(row) * dim + i] = narrow<T>(out);
    }
  }
  for (u32 i = threadIdx.x; i < dim; i += blockDim.x) partial[u64(blockIdx.x) * dim + i] = sums[i];
}

// dweight[i] = Σ_b partial[b][i]: 32 columns a block, 8 threads each, whose sums are added in order.
template <typename T, typename W> __device__ void rms_norm_sums(W *dweight, const Acc<T> *partial, u32 blocks, u32 dim) {
  using A = Acc<T>;
  __shared__ A sums[8][32];
  u32 column = blockIdx.x * 32 + threadIdx.x % 32, part = threadIdx.x / 32;
  A sum = 0;
  if (column < dim)
    for (u32 b = part; b < blocks; b += 8) sum += partial[u64(b) * dim + column];
  sums[part][threadIdx.x % 32] = sum;
  __syncthreads();
  if (part != 0 || column >= dim) return;
  for (int i = 1; i < 8; ++i) sum += sums[i][threadIdx.x];
  dweight[column] = narrow<W>(sum);
}

#define KERNELS(T, W)                                                                                                  \
  extern "C" __global__ void rms_norm_##T##_##W(T *y, Acc<T> *rstd, const T *x, const W *weight, u32 dim, f64 eps) {   \
    rms_norm<T, W>(y, rstd, x, weight, dim, eps);                                                                      \
  }                                                                                                                    \
  extern "C" __global__ void rms_norm_backward_##T##_##W(T *dx, Acc<T> *partial, const T *grad, const T *x,            \
                                                         const W *weight, const Acc<T> *rstd, u32 rows, u32 dim) {     \
    rms_norm_backward<T, W>(dx, partial, grad, x, weight, rstd, rows, dim);                                            \
  }                                                                                                                    \
  extern "C" __global__ void rms_norm_sums_##T##_##W(W *dweight, const Acc<T> *partial, u32 blocks, u32 dim) {         \
    rms_norm_sums<T, W>(dweight, partial, blocks, dim);                                                                \
  }
KERNELS(f64, f64)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(bf16, f32)
KERNELS(f16, f32)
