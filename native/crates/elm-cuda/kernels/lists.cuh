// Ops over lists of tensors in one launch: the tensors travel in the arguments. `lists.rs` is the other half.
#pragma once
#include <type_traits>

#include "common.cuh"

constexpr int MOST_TENSORS = 64;
// Elements that one block works on.
constexpr u32 LIST_CHUNK = 8192;

// The n-th tensors of N lists, for up to MOST_TENSORS n. Tensor n takes the blocks from the end of tensor n − 1 to its
// own. A strided group is alone in its launch.
template <int N> struct Lists {
  u64 tensors[N][MOST_TENSORS];
  u64 sizes[MOST_TENSORS];
  u32 ends[MOST_TENSORS];
  u32 count;
  u32 strided;
  Nd<N> nd;
};

template <int W> using Width = std::integral_constant<int, W>;

// Calls f(Width<W>, tensors, at) for all W elements from `at[i]` on of tensor i; W is V where addresses allow it.
template <int V, int N, typename F> __device__ __forceinline__ void for_lists(const Lists<N> &lists, F f) {
  u32 low = 0, high = lists.count - 1;
  while (low < high) {
    u32 middle = (low + high) / 2;
    if (lists.ends[middle] <= blockIdx.x) low = middle + 1;
    else high = middle;
  }
  u64 begin = u64(blockIdx.x - (low == 0 ? 0 : lists.ends[low - 1])) * LIST_CHUNK;
  u64 end = begin + LIST_CHUNK < lists.sizes[low] ? begin + LIST_CHUNK : lists.sizes[low];
  u64 tensors[N], together = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    tensors[i] = lists.tensors[i][low];
    together |= tensors[i];
  }
  i64 at[N];
  if (lists.strided) {
    for (u64 e = begin + threadIdx.x; e < end; e += blockDim.x) {
      locate(lists.nd, e, at);
      f(Width<1>{}, tensors, at);
    }
    return;
  }
  auto straight = [&](auto width, u64 e) {
#pragma unroll
    for (int i = 0; i < N; ++i) at[i] = i64(e);
    f(width, tensors, at);
  };
  // Chunks are multiples of V, so only the last has a rest.
  u64 packed = together % 16 == 0 ? (end - begin) / V * V : 0;
  for (u64 e = threadIdx.x * V; e < packed; e += blockDim.x * V) straight(Width<V>{}, begin + e);
  for (u64 e = begin + packed + threadIdx.x; e < end; e += blockDim.x) straight(Width<1>{}, e);
}

template <typename T, int W> __device__ __forceinline__ Pack<T, W> &pack_at(u64 tensor, i64 at) {
  return *reinterpret_cast<Pack<T, W> *>(reinterpret_cast<T *>(tensor) + at);
}
