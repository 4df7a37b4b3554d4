// y = round(x / sqrt(mean(x²) + eps)) · weight, and the gradient.
//
// With x̂ = x · rstd and g = grad · weight: dx = rstd · (g − x̂ · mean(g · x̂)), dweight = Σ_rows grad · x̂.
// Bandwidth bound: forward one read and one write an element; backward two reads and one write. A row is kept in
// registers between its two passes, and so are the sums of the weight's gradient over the rows of a block.
#include "column_sums.cuh"

template <typename T, typename W, int N>
__device__ __forceinline__ void forward(T *y, Acc<T> *rstd, const T *x, const W *weight, u32 dim, f64 eps,
                                        const Team &team) {
  using A = Acc<T>;
  using Registers = Kept<T, N, KEPT>;
  bool in = is_aligned(x), in_weight = is_aligned(weight), out = is_aligned(y);
  x += team.row * dim;
  y += team.row * dim;
  A squares = 0;
  Registers kept;
  bool fits = Registers::fits(team, dim);
  auto add = [&](u32, const Pack<T, N> &pack) {
#pragma unroll
    for (int j = 0; j < N; ++j) squares += A(widen(pack[j])) * A(widen(pack[j]));
  };
  if (fits) {
    kept.read(team, x, dim, in);
#pragma unroll
    for (int k = 0; k < KEPT; ++k)
      if (kept.start(team, k) < dim) add(0, kept.packs[k]);
  } else {
    each_pack<T, N>(team, x, dim, in, add);
  }
  A scale = A(1) / sqrt(team_all(team, squares, Add{}, A(0)) / A(dim) + A(eps));
  if (team.rank == 0 && rstd) rstd[team.row] = scale;
  auto write = [&](u32 at, const Pack<T, N> &pack) {
    auto w = load<W, N>(weight + at, in_weight);
    Pack<T, N> all;
    // The definition rounds to the input's dtype before the weight.
#pragma unroll
    for (int j = 0; j < N; ++j)
      all[j] = narrow<T>(A(widen(narrow<T>(A(widen(pack[j])) * scale))) * A(widen(w[j])));
    store<T, N>(y + at, all, out);
  };
  if (fits) {
#pragma unroll
    for (int k = 0; k < KEPT; ++k)
      if (kept.start(team, k) < dim) write(kept.start(team, k), kept.packs[k]);
  } else {
    each_pack<T, N>(team, x, dim, in, write);
  }
}

// Block b takes rows b, b + blocks, … and leaves Σ grad · x̂ over them in `partial[b]`.
template <typename T, typename W, int N>
__device__ __forceinline__ void backward(T *dx, Acc<T> *partial, const T *grad, const T *x, const W *weight,
                                         const Acc<T> *rstd, u64 rows, u32 dim) {
  using A = Acc<T>;
  constexpr int K = 1;
  using Registers = Kept<T, N, K>;
  Team team = {threadIdx.x, blockDim.x, blockIdx.x};
  bool in = is_aligned(grad), in_x = is_aligned(x), in_weight = is_aligned(weight), out = is_aligned(dx);
  bool fits = Registers::fits(team, dim);
  partial += u64(blockIdx.x) * dim;
  ColumnSums<A, N, K> sums;
  sums.clear();
  if (!fits)
    for (u32 at = team.rank * N; at < dim; at += team.size * N)
      for (int j = 0; j < N; ++j) partial[at + j] = 0;
  for (; team.row < rows; team.row += gridDim.x) {
    const T *g_row = grad + team.row * dim, *x_row = x + team.row * dim;
    A scale = rstd[team.row], dot = 0;
    Registers g, v;
    if (fits) {
      g.read(team, g_row, dim, in);
      v.read(team, x_row, dim, in_x);
#pragma unroll
      for (int k = 0; k < K; ++k) {
        u32 at = g.start(team, k);
        if (at >= dim) continue;
        auto w = load<W, N>(weight + at, in_weight);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          A gx = A(widen(g.packs[k][j])) * A(widen(v.packs[k][j])) * scale;
          sums.own[k][j] += gx;
          dot += gx * A(widen(w[j]));
        }
      }
    } else {
      each_pack<T, N>(team, g_row, dim, in, [&](u32 at, const Pack<T, N> &g) {
        auto v = load<T, N>(x_row + at, in_x);
        auto w = load<W, N>(weight + at, in_weight);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          A gx = A(widen(g[j])) * A(widen(v[j])) * scale;
          partial[at + j] += gx;
          dot += gx * A(widen(w[j]));
        }
      });
    }
    if (dx == nullptr) continue;
    A mean = team_all(team, dot, Add{}, A(0)) / A(dim);
    auto write = [&](u32 at, const Pack<T, N> &g, const Pack<T, N> &v) {
      auto w = load<W, N>(weight + at, in_weight);
      Pack<T, N> all;
#pragma unroll
      for (int j = 0; j < N; ++j)
        all[j] = narrow<T>(scale * (A(widen(g[j])) * A(widen(w[j])) - A(widen(v[j])) * scale * mean));
      store<T, N>(dx + team.row * dim + at, all, out);
    };
    if (fits) {
#pragma unroll
      for (int k = 0; k < K; ++k)
        if (g.start(team, k) < dim) write(g.start(team, k), g.packs[k], v.packs[k]);
    } else {
      each_pack<T, N>(team, g_row, dim, in,
                      [&](u32 at, const Pack<T, N> &g) { write(at, g, load<T, N>(x_row + at, in_x)); });
    }
  }
  if (fits) sums.leave(team, partial, dim);
}

#define KERNELS(T, W)                                                                                                  \
  OVERLAPPING(                                                                                                         \
      __launch_bounds__(1024), rms_norm_##T##_##W,                                                                     \
      (T * y, Acc<T> * rstd, const T *x, const W *weight, u64 rows, u32 dim, u32 size, f64 eps), ,                     \
      Team team = team_of(size);                                                                                       \
      if (team.row >= rows) return;                                                                                    \
      if (in_packs<T>(dim)) forward<T, W, PACK<T>>(y, rstd, x, weight, dim, eps, team);                                \
      else forward<T, W, 1>(y, rstd, x, weight, dim, eps, team);)                                                      \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      rms_norm_backward_##T##_##W(T *dx, Acc<T> *partial, const T *grad, const T *x, const W *weight,                  \
                                  const Acc<T> *rstd, u64 rows, u32 dim) {                                             \
    if (in_packs<T>(dim))                                                                                              \
      backward<T, W, PACK<T>>(dx, partial, grad, x, weight, rstd, rows, dim);                                          \
    else                                                                                                               \
      backward<T, W, 1>(dx, partial, grad, x, weight, rstd, rows, dim);                                                \
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
