// sum = x + branch, y = round(sum / sqrt(mean(sum²) + eps)) · weight, and the gradient (rms_norm.cuh has the formulas).
//
// Bandwidth bound: forward two reads and two writes an element; backward three reads, and one write or two. The sums of the
// weight's gradient are added by the kernels of rms_norm.cu.
#include "rms_norm.cuh"

// Of x and of the branch; `add_rms_norm.rs` knows it.
constexpr int KEPT_OF_BOTH = KEPT / 2;

// A pack has as many elements as 16 bytes have of `S`, the wider type.
#define KERNELS(S, Y, W)                                                                                               \
  OVERLAPPING(                                                                                                         \
      __launch_bounds__(1024), add_rms_norm_##S##_##Y##_##W,                                                           \
      (S * sum, Y * y, Acc<S> * rstd, const S *x, const Y *branch, const W *weight, u64 rows, u32 dim, u32 size,       \
       f64 eps), ,                                                                                                     \
      Team team = team_of(size);                                                                                       \
      if (team.row >= rows) return;                                                                                    \
      with_packs<S, KEPT_OF_BOTH>(team, dim, [&](auto n, auto k) {                                                     \
        rms_forward<S, Y, W, n.value, k.value>(sum, y, rstd, x, branch, weight, dim, eps, team);                       \
      });)                                                                                                             \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      add_rms_norm_backward_##S##_##Y##_##W(S *dx, Y *dbranch, Acc<S> *partial, const Y *grad, const S *sum,           \
                                            const W *weight, const Acc<S> *rstd, const S *grad_sum, u64 rows,          \
                                            u32 dim) {                                                                 \
    Team team = {threadIdx.x, blockDim.x, blockIdx.x};                                                                 \
    with_packs<S, 1>(team, dim, [&](auto n, auto k) {                                                                  \
      rms_backward<true, S, Y, W, n.value, k.value>(dx, dbranch, partial, grad, sum, weight, rstd, grad_sum, rows, dim,\
                                                    team);                                                             \
    });                                                                                                                \
  }
KERNELS(f64, f64, f64)
KERNELS(f32, f32, f32)
KERNELS(bf16, bf16, bf16)
KERNELS(f16, f16, f16)
KERNELS(bf16, bf16, f32)
KERNELS(f16, f16, f32)
KERNELS(f32, bf16, f32)
KERNELS(f32, f16, f32)
