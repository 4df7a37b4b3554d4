// y = round(x / sqrt(mean(x²) + eps)) · weight, and the gradient (rms_norm.cuh has the formulas).
//
// Bandwidth bound: forward one read and one write an element; backward two reads and one write.
#include "rms_norm.cuh"

template <typename T> constexpr T *NONE = nullptr;

#define KERNELS(T, W)                                                                                                  \
  OVERLAPPING(                                                                                                         \
      __launch_bounds__(1024), rms_norm_##T##_##W,                                                                     \
      (T * y, Acc<T> * rstd, const T *x, const W *weight, u64 rows, u32 dim, u32 size, f64 eps), ,                     \
      Team team = team_of(size);                                                                                       \
      if (team.row >= rows) return;                                                                                    \
      with_packs<T, KEPT>(team, dim, [&](auto n, auto k) {                                                             \
        rms_forward<T, T, W, n.value, k.value>(NONE<T>, y, rstd, x, NONE<T>, weight, dim, eps, team);                  \
      });)                                                                                                             \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      rms_norm_backward_##T##_##W(T *dx, Acc<T> *partial, const T *grad, const T *x, const W *weight,                  \
                                  const Acc<T> *rstd, u64 rows, u32 dim) {                                             \
    Team team = {threadIdx.x, blockDim.x, blockIdx.x};                                                                 \
    with_packs<T, 1>(team, dim, [&](auto n, auto k) {                                                                  \
      rms_backward<false, T, T, W, n.value, k.value>(dx, NONE<T>, partial, grad, x, weight, rstd, NONE<T>, rows, dim,  \
                                                     team);                                                            \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C" __global__ void rms_norm_sums_##T##_##W(W *dweight, const Acc<T> *partial, u32 blocks, u32 dim) {         \
    column_sums(dweight, partial, blocks, dim, dim);                                                                   \
  }
KERNELS(f64, f64)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(bf16, f32)
KERNELS(f16, f32)
