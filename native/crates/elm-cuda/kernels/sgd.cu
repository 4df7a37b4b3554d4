// One step of gradient descent on lists of tensors: g = grad · scale + decay · param, and param ← param − lr · g; with
// momentum v ← momentum · v + g and param ← param − lr · (nesterov ? g + momentum · v : v).
//
// A block takes a chunk of one tensor. Bandwidth bound.
#include "lists.cuh"

template <typename T>
__device__ void sgd(const Lists<2> &lists, const f32 *lr, const f32 *scale, const f32 *skip, f64 decay) {
  if (*skip != 0) return;
  T rate = *lr, factor = *scale, share = T(decay);
  for_lists<PACK<T>>(lists, [&](auto width, const u64(&tensors)[2], const i64(&at)[2]) {
    constexpr int W = decltype(width)::value;
    auto p = pack_at<T, W>(tensors[0], at[0]), g = pack_at<T, W>(tensors[1], at[1]);
#pragma unroll
    for (int j = 0; j < W; ++j) p[j] = p[j] - rate * (g[j] * factor + share * p[j]);
    pack_at<T, W>(tensors[0], at[0]) = p;
  });
}

template <typename T>
__device__ void sgd_momentum(const Lists<3> &lists, const f32 *lr, const f32 *scale, const f32 *skip, f64 decay,
                             f64 momentum, u32 nesterov) {
  if (*skip != 0) return;
  T rate = *lr, factor = *scale, share = T(decay), kept = T(momentum);
  for_lists<PACK<T>>(lists, [&](auto width, const u64(&tensors)[3], const i64(&at)[3]) {
    constexpr int W = decltype(width)::value;
    auto p = pack_at<T, W>(tensors[0], at[0]), g = pack_at<T, W>(tensors[1], at[1]);
    auto v = pack_at<T, W>(tensors[2], at[2]);
#pragma unroll
    for (int j = 0; j < W; ++j) {
      T grad = g[j] * factor + share * p[j];
      v[j] = kept * v[j] + grad;
      p[j] = p[j] - rate * (nesterov ? grad + kept * v[j] : v[j]);
    }
    pack_at<T, W>(tensors[0], at[0]) = p;
    pack_at<T, W>(tensors[2], at[2]) = v;
  });
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void sgd_##T(const __grid_constant__ Lists<2> lists, const f32 *lr, const f32 *scale,          \
                                     const f32 *skip, f64 decay) {                                                     \
    sgd<T>(lists, lr, scale, skip, decay);                                                                             \
  }                                                                                                                    \
  extern "C" __global__ void sgd_momentum_##T(const __grid_constant__ Lists<3> lists, const f32 *lr, const f32 *scale, \
                                              const f32 *skip, f64 decay, f64 momentum, u32 nesterov) {                \
    sgd_momentum<T>(lists, lr, scale, skip, decay, momentum, nesterov);                                                \
  }
KERNELS(f64)
KERNELS(f32)
