// y[o] = the combination of x over some axes, for any way to combine.
//
// Where the last axis is reduced, a team of 1 to 32 threads or a block has an output, and neighbours take packs side by
// side; where it is kept, neighbours have outputs side by side and 8 threads share each. Long reductions are cut into
// parts, a block row each, whose results a second kernel combines in order: the cuts depend on shapes alone.
// `reduction.rs` makes the arguments. Bandwidth bound: one read an element.
//
// A way to combine is a structure with `In`, `A`, `none()`, `of(x, place)`, `join(a, b)` and `finish<Y>(a, count)`.
#pragma once
#include "row.cuh"

constexpr int REDUCE_THREADS = 256, SIDE = 32, ALONG = REDUCE_THREADS / SIDE;

// Where element i of a walk lies; most walks have one axis.
__device__ __forceinline__ i64 place_of(const Nd<1> &nd, u64 i) {
  if (nd.rank <= 1) return i64(i) * nd.strides[0][0];
  i64 at[1];
  locate(nd, i, at);
  return at[0];
}

template <typename F> struct Joined {
  template <typename A> __device__ __forceinline__ A operator()(A a, A b) const { return F::join(a, b); }
};

// Elements `from` to `to` of the output's walk, every `team`-th pack of them from `rank` on.
template <typename F>
__device__ __forceinline__ typename F::A along(const typename F::In *x, const Nd<1> &reduced, u64 from, u64 to, u32 rank,
                                               u32 team) {
  using T = typename F::In;
  constexpr int N = PACK<T>;
  auto sum = F::none();
  if (reduced.rank > 1 || reduced.strides[0][0] != 1) {
    for (u64 i = from + rank; i < to; i += team) sum = F::join(sum, F::of(x[place_of(reduced, i)], i));
    return sum;
  }
  bool aligned = is_aligned(x + from);
  u64 i = from + u64(rank) * N;
#pragma unroll (N > 4 ? 1 : 2)
  for (; i + N <= to; i += u64(team) * N) {
    auto pack = load<T, N>(x + i, aligned);
#pragma unroll
    for (int j = 0; j < N; ++j) sum = F::join(sum, F::of(pack[j], i + j));
  }
  for (; i < to; ++i) sum = F::join(sum, F::of(x[i], i));
  return sum;
}

template <typename F, typename Y>
__device__ void reduce(Y *y, typename F::A *partial, const typename F::In *x, const Nd<1> &kept, const Nd<1> &reduced,
                       u64 outputs, u64 count, u64 chunk, u32 team) {
  using A = typename F::A;
  u64 from = blockIdx.y * chunk, to = from + chunk < count ? from + chunk : count;
  u32 rank;
  u64 output;
  A sum = F::none();
  if (team == 0) {
    rank = threadIdx.x / SIDE;
    output = u64(blockIdx.x) * SIDE + threadIdx.x % SIDE;
    if (output < outputs) {
      const auto *own = x + place_of(kept, output);
#pragma unroll 4
      for (u64 i = from + rank; i < to; i += ALONG) sum = F::join(sum, F::of(own[place_of(reduced, i)], i));
    }
    __shared__ A parts[ALONG][SIDE];
    parts[rank][threadIdx.x % SIDE] = sum;
    __syncthreads();
    sum = parts[0][threadIdx.x % SIDE];
    for (int part = 1; part < ALONG; ++part) sum = F::join(sum, parts[part][threadIdx.x % SIDE]);
  } else {
    rank = threadIdx.x % team;
    output = u64(blockIdx.x) * (REDUCE_THREADS / team) + threadIdx.x / team;
    if (output < outputs) sum = along<F>(x + place_of(kept, output), reduced, from, to, rank, team);
    if (team <= WARP)
      for (u32 lane = team / 2; lane > 0; lane /= 2) sum = F::join(sum, exchange(sum, lane));
    else
      sum = block_all(sum, Joined<F>{}, F::none());
  }
  if (rank != 0 || output >= outputs) return;
  if (gridDim.y > 1)
    partial[output * gridDim.y + blockIdx.y] = sum;
  else
    y[output] = F::template finish<Y>(sum, count);
}

// The combination of the parts of each output, a warp each.
template <typename F, typename Y>
__device__ void join_parts(Y *y, const typename F::A *partial, u64 outputs, u64 count, u32 parts) {
  u64 output = u64(blockIdx.x) * (REDUCE_THREADS / WARP) + threadIdx.x / WARP;
  if (output >= outputs) return;
  auto sum = F::none();
  for (u32 i = threadIdx.x % WARP; i < parts; i += WARP) sum = F::join(sum, partial[output * parts + i]);
  sum = warp_all(sum, Joined<F>{});
  if (threadIdx.x % WARP == 0) y[output] = F::template finish<Y>(sum, count);
}

#define REDUCTION(NAME, F, T, Y)                                                                                       \
  OVERLAPPING(, NAME##_##T,                                                                                            \
              (Y * y, typename F<T>::A *partial, const T *x, const __grid_constant__ Nd<1> kept,                       \
               const __grid_constant__ Nd<1> reduced, u64 outputs, u64 count, u64 chunk, u32 team),                    \
              , reduce<F<T>>(y, partial, x, kept, reduced, outputs, count, chunk, team);)                              \
  OVERLAPPING(, NAME##_parts_##T,                                                                                      \
              (Y * y, const typename F<T>::A *partial, u64 outputs, u64 count, u32 parts),                             \
              , join_parts<F<T>>(y, partial, outputs, count, parts);)
