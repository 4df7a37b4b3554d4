// y = (x − mean) · rstd · weight + bias with rstd = 1 / sqrt(variance + eps), and the gradient.
//
// With x̂ = (x − mean) · rstd and g = grad · weight: dx = rstd · (g − mean(g) − x̂ · mean(g · x̂)),
// dweight = Σ_rows grad · x̂, dbias = Σ_rows grad. Rows are handled as in rms_norm.cu. Bandwidth bound.
#include "column_sums.cuh"

// A pack of a parameter that may be absent.
template <typename W, int N, typename A>
__device__ __forceinline__ void parameter(A (&to)[N], const W *from, u32 at, bool aligned, A missing) {
  if (from == nullptr) {
#pragma unroll
    for (int j = 0; j < N; ++j) to[j] = missing;
    return;
  }
  auto pack = load<W, N>(from + at, aligned);
#pragma unroll
  for (int j = 0; j < N; ++j) to[j] = widen(pack[j]);
}

template <typename T, typename W, int N, int K>
__device__ __forceinline__ void forward(T *y, Acc<T> *means, Acc<T> *rstds, const T *x, const W *weight, const W *bias,
                                        u32 dim, f64 eps, const Team &team) {
  using A = Acc<T>;
  bool in_weight = is_aligned(weight), in_bias = is_aligned(bias), out = is_aligned(y);
  y += team.row * dim;
  Kept<T, N, K> row(team, x + team.row * dim, dim, is_aligned(x));
  // The sum of f(x) over the row.
  auto total = [&](auto f) {
    A sum = 0;
    auto add = [&](u32, const Pack<T, N> &pack) {
#pragma unroll
      for (int j = 0; j < N; ++j) sum += f(A(widen(pack[j])));
    };
    each_kept(team, dim, add, row);
    return team_all(team, sum, Add{}, A(0));
  };
  A mean = total([](A v) { return v; }) / A(dim);
  // Two passes: the difference of two large sums would lose the variance of rows far from 0.
  A rstd = A(1) / sqrt(total([&](A v) { return (v - mean) * (v - mean); }) / A(dim) + A(eps));
  if (team.rank == 0) {
    if (means) means[team.row] = mean;
    if (rstds) rstds[team.row] = rstd;
  }
  auto write = [&](u32 at, const Pack<T, N> &pack) {
    A w[N], b[N];
    parameter(w, weight, at, in_weight, A(1));
    parameter(b, bias, at, in_bias, A(0));
    Pack<T, N> all;
#pragma unroll
    for (int j = 0; j < N; ++j) all[j] = narrow<T>((A(widen(pack[j])) - mean) * rstd * w[j] + b[j]);
    store<T, N>(y + at, all, out);
  };
  each_kept(team, dim, write, row);
}

// Block b takes rows b, b + blocks, … and leaves Σ grad · x̂ and Σ grad over them in `partial[b]`.
template <typename T, typename W, int N, int K>
__device__ __forceinline__ void backward(T *dx, Acc<T> *partial, const T *grad, const T *x, const W *weight,
                                         const Acc<T> *means, const Acc<T> *rstds, u64 rows, u32 dim, Team team) {
  using A = Acc<T>;
  bool in = is_aligned(grad), in_x = is_aligned(x), in_weight = is_aligned(weight), out = is_aligned(dx);
  partial += u64(blockIdx.x) * 2 * dim;
  ColumnSums<A, N, K> dweight(team, partial, dim), dbias(team, partial + dim, dim);
  for (; team.row < rows; team.row += gridDim.x) {
    A mean = means[team.row], rstd = rstds[team.row];
    Two<A> sums = {0, 0};
    Kept<T, N, K> g(team, grad + team.row * dim, dim, in), v(team, x + team.row * dim, dim, in_x);
    auto add = [&](u32 at, const Pack<T, N> &g, const Pack<T, N> &v) {
      A w[N];
      parameter(w, weight, at, in_weight, A(1));
#pragma unroll
      for (int j = 0; j < N; ++j) {
        A own = widen(g[j]), xhat = (A(widen(v[j])) - mean) * rstd;
        dweight.add(at, j, own * xhat);
        dbias.add(at, j, own);
        sums.first += own * w[j];
        sums.second += own * w[j] * xhat;
      }
    };
    each_kept(team, dim, add, g, v);
    if (dx == nullptr) continue;
    sums = team_all(team, sums, AddTwo{}, Two<A>{0, 0});
    A of_grad = sums.first / A(dim), dot = sums.second / A(dim);
    auto write = [&](u32 at, const Pack<T, N> &g, const Pack<T, N> &v) {
      A w[N];
      parameter(w, weight, at, in_weight, A(1));
      Pack<T, N> all;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        A xhat = (A(widen(v[j])) - mean) * rstd;
        all[j] = narrow<T>(rstd * (A(widen(g[j])) * w[j] - of_grad - xhat * dot));
      }
      store<T, N>(dx + team.row * dim + at, all, out);
    };
    each_kept(team, dim, write, g, v);
  }
  dweight.leave(team, dim);
  dbias.leave(team, dim);
}

#define KERNELS(T, W)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      layer_norm_##T##_##W(T *y, Acc<T> *mean, Acc<T> *rstd, const T *x, const W *weight, const W *bias, u64 rows,     \
                           u32 dim, u32 size, f64 eps) {                                                               \
    Team team = team_of(size);                                                                                         \
    if (team.row >= rows) return;                                                                                      \
    with_packs<T, KEPT>(team, dim, [&](auto n, auto k) {                                                               \
      forward<T, W, n.value, k.value>(y, mean, rstd, x, weight, bias, dim, eps, team);                                 \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      layer_norm_backward_##T##_##W(T *dx, Acc<T> *partial, const T *grad, const T *x, const W *weight,                \
                                    const Acc<T> *mean, const Acc<T> *rstd, u64 rows, u32 dim) {                       \
    Team team = {threadIdx.x, blockDim.x, blockIdx.x};                                                                 \
    with_packs<T, 1>(team, dim, [&](auto n, auto k) {                                                                  \
      backward<T, W, n.value, k.value>(dx, partial, grad, x, weight, mean, rstd, rows, dim, team);                     \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C" __global__ void layer_norm_sums_##T##_##W(W *out, const Acc<T> *partial, u32 blocks, u32 dim) {           \
    column_sums(out, partial, blocks, dim, 2 * u64(dim));                                                              \
  }
KERNELS(f64, f64)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(bf16, f32)
KERNELS(f16, f32)
