// One step of AdamW on lists of tensors: with g = grad · scale, m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g²,
// param ← (1 − lr · decay) · param − lr · m̂ / (√v̂ + eps).
//
// A block takes a chunk of one tensor. Bandwidth bound: four reads and three writes an element.
#include "lists.cuh"

template <typename T> struct Step {
  // rest = 1 − β from the f64 attributes: in f32 the difference would lose digits.
  T scale, beta1, beta2, rest1, rest2, eps, keep, rate, root;
};

template <typename T>
__device__ void adamw(const Lists<4> &lists, const f32 *lr, const f32 *step, const f32 *scale, const f32 *skip, f64 beta1,
                      f64 beta2, f64 eps, f64 decay) {
  if (*skip != 0) return;
  __shared__ Step<T> shared;
  if (threadIdx.x == 0) {
    f64 rate = *lr, t = *step;
    shared = Step<T>{T(*scale),
                     T(beta1),
                     T(beta2),
                     T(1 - beta1),
                     T(1 - beta2),
                     T(eps),
                     T(1 - rate * decay),
                     T(rate / (1 - pow(beta1, t))),
                     T(1 / sqrt(1 - pow(beta2, t)))};
  }
  __syncthreads();
  const Step<T> s = shared;
  for_lists<PACK<T>>(lists, [&](auto width, const u64(&tensors)[4], const i64(&at)[4]) {
    constexpr int W = decltype(width)::value;
    auto p = pack_at<T, W>(tensors[0], at[0]), g = pack_at<T, W>(tensors[1], at[1]);
    auto m = pack_at<T, W>(tensors[2], at[2]), v = pack_at<T, W>(tensors[3], at[3]);
#pragma unroll
    for (int j = 0; j < W; ++j) {
      T grad = g[j] * s.scale;
      m[j] = s.beta1 * m[j] + s.rest1 * grad;
      v[j] = s.beta2 * v[j] + s.rest2 * (grad * grad);
      p[j] = s.keep * p[j] - s.rate * m[j] / (sqrt(v[j]) * s.root + s.eps);
    }
    pack_at<T, W>(tensors[0], at[0]) = p;
    pack_at<T, W>(tensors[2], at[2]) = m;
    pack_at<T, W>(tensors[3], at[3]) = v;
  });
}

#define KERNEL(T)                                                                                                      \
  extern "C" __global__ void adamw_##T(const __grid_constant__ Lists<4> lists, const f32 *lr, const f32 *step,         \
                                       const f32 *scale, const f32 *skip, f64 beta1, f64 beta2, f64 eps, f64 decay) {  \
    adamw<T>(lists, lr, step, scale, skip, beta1, beta2, eps, decay);                                                  \
  }
KERNEL(f64)
KERNEL(f32)
