// Rows divided by their root mean square, and the gradient.
//
// `S` is the dtype of what is normalized, `Y` that of the result. With x̂ = x · rstd and g = grad · weight:
// dx = rstd · (g − x̂ · mean(g · x̂)), dweight = Σ_rows grad · x̂. A row is kept in registers between its two passes, and
// so are the sums of the weight's gradient over the rows of a block.
#pragma once
#include "column_sums.cuh"

template <typename T, typename A, int N> __device__ __forceinline__ Pack<T, N> rounded(const Pack<A, N> &pack) {
  Pack<T, N> all;
#pragma unroll
  for (int j = 0; j < N; ++j) all[j] = narrow<T>(pack[j]);
  return all;
}

// What is normalized is x, or `sum` = x + branch where there is a branch.
template <typename S, typename Y, typename W, int N, int K>
__device__ __forceinline__ void rms_forward(S *sum, Y *y, Acc<S> *rstd, const S *x, const Y *branch, const W *weight,
                                            u32 dim, f64 eps, const Team &team) {
  using A = Acc<S>;
  u64 row = team.row * dim;
  bool in_weight = is_aligned(weight), out = is_aligned(y);
  Kept<S, N, K> v(team, x + row, dim, is_aligned(x));
  if (branch) {
    Kept<Y, N, K> b(team, branch + row, dim, is_aligned(branch));
    bool out_sum = is_aligned(sum);
    auto add = [&](u32 at, auto &&pack, const Pack<Y, N> &b) {
#pragma unroll
      for (int j = 0; j < N; ++j) pack[j] = narrow<S>(A(widen(pack[j])) + A(widen(b[j])));
      store<S, N>(sum + row + at, pack, out_sum);
    };
    each_kept(team, dim, add, v, b);
    // A thread reads again only what it has written itself.
    v.row = sum + row;
    v.aligned = out_sum;
  }
  A squares = 0;
  auto add = [&](u32, const Pack<S, N> &pack) {
#pragma unroll
    for (int j = 0; j < N; ++j) squares += A(widen(pack[j])) * A(widen(pack[j]));
  };
  each_kept(team, dim, add, v);
  A scale = A(1) / sqrt(team_all(team, squares, Add{}, A(0)) / A(dim) + A(eps));
  if (team.rank == 0 && rstd) rstd[team.row] = scale;
  auto write = [&](u32 at, const Pack<S, N> &pack) {
    auto w = load<W, N>(weight + at, in_weight);
    Pack<Y, N> all;
    // The definition rounds to the input's dtype before the weight.
#pragma unroll
    for (int j = 0; j < N; ++j)
      all[j] = narrow<Y>(A(widen(narrow<S>(A(widen(pack[j])) * scale))) * A(widen(w[j])));
    store<Y, N>(y + row + at, all, out);
  };
  each_kept(team, dim, write, v);
}

// Block b takes rows b, b + blocks, … and leaves Σ grad · x̂ over them in `partial[b]`.
//
// Of a sum `through`, its own cotangent, is added to dx, which is also rounded to `dbranch`; both may be null.
template <bool IS_SUM, typename S, typename Y, typename W, int N, int K>
__device__ __forceinline__ void rms_backward(S *dx, Y *dbranch, Acc<S> *partial, const Y *grad, const S *x,
                                             const W *weight, const Acc<S> *rstd, const S *through, u64 rows, u32 dim,
                                             Team team) {
  using A = Acc<S>;
  bool in = is_aligned(grad), in_x = is_aligned(x), in_weight = is_aligned(weight), in_through = is_aligned(through);
  bool out = is_aligned(dx), out_branch = is_aligned(dbranch);
  ColumnSums<A, N, K> dweight(team, partial + u64(blockIdx.x) * dim, dim);
  for (; team.row < rows; team.row += gridDim.x) {
    u64 row = team.row * dim;
    A scale = rstd[team.row], dot = 0;
    Kept<Y, N, K> g(team, grad + row, dim, in);
    Kept<S, N, K> v(team, x + row, dim, in_x);
    // Where nothing comes through, x stands in, which is read anyway.
    Kept<S, N, IS_SUM ? K : 0> t(team, (through ? through : x) + row, dim, through ? in_through : in_x);
    auto add = [&](u32 at, const Pack<Y, N> &g, const Pack<S, N> &v) {
      auto w = load<W, N>(weight + at, in_weight);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        A gx = A(widen(g[j])) * A(widen(v[j])) * scale;
        dweight.add(at, j, gx);
        dot += gx * A(widen(w[j]));
      }
    };
    each_kept(team, dim, add, g, v);
    if (dx == nullptr) continue;
    A mean = team_all(team, dot, Add{}, A(0)) / A(dim);
    auto gradient = [&](u32 at, const Pack<Y, N> &g, const Pack<S, N> &v) {
      auto w = load<W, N>(weight + at, in_weight);
      Pack<A, N> all;
#pragma unroll
      for (int j = 0; j < N; ++j)
        all[j] = scale * (A(widen(g[j])) * A(widen(w[j])) - A(widen(v[j])) * scale * mean);
      return all;
    };
    if constexpr (IS_SUM) {
      auto write = [&](u32 at, const Pack<Y, N> &g, const Pack<S, N> &v, const Pack<S, N> &t) {
        Pack<A, N> own = gradient(at, g, v);
        if (through)
#pragma unroll
          for (int j = 0; j < N; ++j) own[j] += A(widen(t[j]));
        store<S, N>(dx + row + at, rounded<S>(own), out);
        if (dbranch) store<Y, N>(dbranch + row + at, rounded<Y>(own), out_branch);
      };
      each_kept(team, dim, write, g, v, t);
    } else {
      auto write = [&](u32 at, const Pack<Y, N> &g, const Pack<S, N> &v) {
        store<S, N>(dx + row + at, rounded<S>(gradient(at, g, v)), out);
      };
      each_kept(team, dim, write, g, v);
    }
  }
  dweight.leave(team, dim);
}
