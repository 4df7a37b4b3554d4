// norm = √(Σ x²) over all elements of many tensors, summed in f64.
//
// Every block has a chunk of one tensor and leaves its sum; one block adds these in order. Bandwidth bound: one read an
// element.
#include "row.cuh"

// Some of the tensors of a list, row-major: block b has chunk b − firsts[t] of tensor t, the last that starts before it.
struct Tensors {
  const void *starts[96];
  u64 sizes[96];
  u32 firsts[96];
  u32 count;
};

constexpr u32 CHUNK = 1 << 15;

template <typename T> __device__ void squares(f64 *sums, const Tensors &tensors) {
  constexpr int N = PACK<T>;
  u32 tensor = 0;
  while (tensor + 1 < tensors.count && tensors.firsts[tensor + 1] <= blockIdx.x) ++tensor;
  u64 from = u64(blockIdx.x - tensors.firsts[tensor]) * CHUNK;
  const T *x = static_cast<const T *>(tensors.starts[tensor]) + from;
  u64 left = tensors.sizes[tensor] - from;
  u32 size = left < CHUNK ? u32(left) : CHUNK;
  bool aligned = is_aligned(x);
  f64 sum = 0;
  auto add = [&](T value) { sum += f64(widen(value)) * f64(widen(value)); };
  u32 i = threadIdx.x * N;
#pragma unroll 4
  for (; i + N <= size; i += blockDim.x * N) {
    auto pack = load<T, N>(x + i, aligned);
#pragma unroll
    for (int j = 0; j < N; ++j) add(pack[j]);
  }
  for (; i < size; ++i) add(x[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void global_norm_squares_##T(f64 *sums, const __grid_constant__ Tensors tensors) {             \
    squares<T>(sums, tensors);                                                                                         \
  }
FOR_FLOATS(KERNELS)

extern "C" __global__ void global_norm(f32 *norm, const f64 *sums, u64 count) {
  f64 sum = 0;
#pragma unroll 4
  for (u64 i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *norm = f32(sqrt(sum));
}
