// y = e^x / Σ e^x along an axis, or its logarithm, and their gradients.
//
// Lines that are straight: a team of threads a row (row.cuh), which reads it once where its registers hold it and twice
// where they do not. Other lines lie side by side: a block has 32 of them and 8 threads along each, and reads twice; the
// second time the caches have them. Bandwidth bound.
#include "partition.cuh"

// What is written for x, by the whole line: nothing is a number where the largest element is infinite.
template <typename A> struct Normalizer {
  A most, log, scale;
  u32 logarithm;

  __device__ __forceinline__ Normalizer(Partition<A> line, u32 logarithm) : most(line.most), logarithm(logarithm) {
    log = isinf(most) ? A(NAN) : ::log(line.sum);
    scale = isinf(most) ? A(NAN) : A(1) / line.sum;
  }
  __device__ __forceinline__ A operator()(A x) const { return logarithm ? x - most - log : exp_of(x - most) * scale; }
};

template <typename T, int N, int K>
__device__ __forceinline__ void forward(T *y, const T *x, u32 dim, u32 logarithm, const Team &team) {
  using A = Acc<T>;
  bool out = is_aligned(y);
  y += team.row * dim;
  Kept<T, N, K> row(team, x + team.row * dim, dim, is_aligned(x));
  auto line = Partition<A>::none();
  if constexpr (K > 0) {
    line.add(team, row, dim);
  } else {
    each_kept(team, dim, [&](u32, const Pack<T, N> &pack) {
#pragma unroll
      for (int j = 0; j < N; ++j) line.add(A(widen(pack[j])));
    }, row);
  }
  Normalizer<A> normal(team_all(team, line, JoinPartitions{}, Partition<A>::none()), logarithm);
  auto write = [&](u32 at, const Pack<T, N> &pack) {
    Pack<T, N> all;
#pragma unroll
    for (int j = 0; j < N; ++j) all[j] = narrow<T>(normal(A(widen(pack[j]))));
    store<T, N>(y + at, all, out);
  };
  each_kept(team, dim, write, row);
}

template <typename A> __device__ __forceinline__ A gradient_term(A grad, A y, u32 logarithm) {
  return logarithm ? grad : grad * y;
}
template <typename A> __device__ __forceinline__ A gradient(A grad, A y, A sum, u32 logarithm) {
  return logarithm ? grad - exp_of(y) * sum : y * (grad - sum);
}

template <typename T, int N, int K>
__device__ __forceinline__ void backward(T *dx, const T *grad, const T *y, u32 dim, u32 logarithm, const Team &team) {
  using A = Acc<T>;
  bool out = is_aligned(dx);
  dx += team.row * dim;
  Kept<T, N, K> g(team, grad + team.row * dim, dim, is_aligned(grad)), v(team, y + team.row * dim, dim, is_aligned(y));
  A sum = 0;
  auto add = [&](u32, const Pack<T, N> &g, const Pack<T, N> &v) {
#pragma unroll
    for (int j = 0; j < N; ++j) sum += gradient_term(A(widen(g[j])), A(widen(v[j])), logarithm);
  };
  each_kept(team, dim, add, g, v);
  sum = team_all(team, sum, Add{}, A(0));
  auto write = [&](u32 at, const Pack<T, N> &g, const Pack<T, N> &v) {
    Pack<T, N> all;
#pragma unroll
    for (int j = 0; j < N; ++j) all[j] = narrow<T>(gradient(A(widen(g[j])), A(widen(v[j])), sum, logarithm));
    store<T, N>(dx + at, all, out);
  };
  each_kept(team, dim, write, g, v);
}

constexpr int COLUMNS = 32, PARTS = 8;

// Where the block's lines begin, whether this thread's exists, and its place along it.
struct Line {
  u64 start;
  u32 part, lane;
  bool exists;
};

__device__ __forceinline__ Line line_of(u32 length, u64 inner) {
  u64 tiles = (inner + COLUMNS - 1) / COLUMNS, outer = blockIdx.x / tiles;
  u32 lane = threadIdx.x % COLUMNS, part = threadIdx.x / COLUMNS;
  u64 column = blockIdx.x % tiles * COLUMNS + lane;
  return {outer * length * inner + column, part, lane, column < inner};
}

// The combination of what the threads of a line have.
template <typename A, typename F> __device__ __forceinline__ A line_all(const Line &line, A value, F f) {
  __shared__ A partial[PARTS][COLUMNS];
  partial[line.part][line.lane] = value;
  __syncthreads();
  value = partial[0][line.lane];
  for (int part = 1; part < PARTS; ++part) value = f(value, partial[part][line.lane]);
  return value;
}

template <typename T> __device__ void forward_columns(T *y, const T *x, u32 length, u64 inner, u32 logarithm) {
  using A = Acc<T>;
  Line line = line_of(length, inner);
  x += line.start;
  y += line.start;
  auto own = Partition<A>::none();
  if (line.exists)
#pragma unroll 4
    for (u32 i = line.part; i < length; i += PARTS) own.add(A(widen(x[i * inner])));
  Normalizer<A> normal(line_all(line, own, JoinPartitions{}), logarithm);
  if (line.exists)
#pragma unroll 4
    for (u32 i = line.part; i < length; i += PARTS) y[i * inner] = narrow<T>(normal(A(widen(x[i * inner]))));
}

template <typename T>
__device__ void backward_columns(T *dx, const T *grad, const T *y, u32 length, u64 inner, u32 logarithm) {
  using A = Acc<T>;
  Line line = line_of(length, inner);
  dx += line.start;
  grad += line.start;
  y += line.start;
  A sum = 0;
  if (line.exists)
#pragma unroll 4
    for (u32 i = line.part; i < length; i += PARTS)
      sum += gradient_term(A(widen(grad[i * inner])), A(widen(y[i * inner])), logarithm);
  sum = line_all(line, sum, Add{});
  if (line.exists)
#pragma unroll 4
    for (u32 i = line.part; i < length; i += PARTS)
      dx[i * inner] = narrow<T>(gradient(A(widen(grad[i * inner])), A(widen(y[i * inner])), sum, logarithm));
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      softmax_##T(T *y, const T *x, u64 rows, u32 dim, u32 logarithm, u32 size) {                                      \
    Team team = team_of(size);                                                                                         \
    if (team.row >= rows) return;                                                                                      \
    with_packs<T, KEPT>(team, dim, [&](auto n, auto k) { forward<T, n.value, k.value>(y, x, dim, logarithm, team); }); \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      softmax_backward_##T(T *dx, const T *grad, const T *y, u64 rows, u32 dim, u32 logarithm, u32 size) {             \
    Team team = team_of(size);                                                                                         \
    if (team.row >= rows) return;                                                                                      \
    with_packs<T, KEPT>(team, dim, [&](auto n, auto k) {                                                               \
      backward<T, n.value, k.value>(dx, grad, y, dim, logarithm, team);                                                \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C" __global__ void softmax_columns_##T(T *y, const T *x, u32 length, u64 inner, u32 logarithm) {             \
    forward_columns(y, x, length, inner, logarithm);                                                                   \
  }                                                                                                                    \
  extern "C" __global__ void softmax_backward_columns_##T(T *dx, const T *grad, const T *y, u32 length, u64 inner,     \
                                                          u32 logarithm) {                                             \
    backward_columns(dx, grad, y, length, inner, logarithm);                                                           \
  }
FOR_FLOATS(KERNELS)
