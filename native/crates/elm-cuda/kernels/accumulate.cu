// into ← into + weight · from on lists of tensors.
//
// A block takes a chunk of one tensor. Bandwidth bound: two reads and one write an element.
#include "lists.cuh"

template <typename A, typename B> __device__ void accumulate(const Lists<2> &lists, const f32 *weight) {
  using R = Acc<A>;
  R factor = *weight;
  constexpr int V = 16 / (sizeof(A) > sizeof(B) ? sizeof(A) : sizeof(B));
  for_lists<V>(lists, [&](auto width, const u64(&tensors)[2], const i64(&at)[2]) {
    constexpr int W = decltype(width)::value;
    auto into = pack_at<A, W>(tensors[0], at[0]);
    auto from = pack_at<B, W>(tensors[1], at[1]);
#pragma unroll
    for (int j = 0; j < W; ++j) into[j] = narrow<A>(R(widen(into[j])) + factor * R(widen(from[j])));
    pack_at<A, W>(tensors[0], at[0]) = into;
  });
}

#define KERNEL(A, B)                                                                                                   \
  extern "C" __global__ void accumulate_##A##_##B(const __grid_constant__ Lists<2> lists, const f32 *weight) {         \
    accumulate<A, B>(lists, weight);                                                                                   \
  }
KERNEL(f64, f64)
KERNEL(f32, f32)
KERNEL(bf16, bf16)
KERNEL(f16, f16)
KERNEL(f32, bf16)
KERNEL(f32, f16)
