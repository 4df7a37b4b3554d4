// Rows of a matrix that threads share: a warp has one while its registers hold it, else a block has. `teams.rs` decides.
#pragma once
#include <type_traits>

#include "common.cuh"

// The threads of one row, and which of them this one is.
struct Team {
  u32 rank, size;
  u64 row;
};

__device__ __forceinline__ Team team_of(u32 size) {
  if (size == WARP) return {threadIdx.x % WARP, WARP, u64(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP};
  return {threadIdx.x, blockDim.x, blockIdx.x};
}

// The combination of one value of each thread of a team, in all of them. All threads of the team call it.
template <typename A, typename F> __device__ __forceinline__ A team_all(const Team &team, A value, F f, A none) {
  return team.size == WARP ? warp_all(value, f) : block_all(value, f, none);
}

// Two sums that are made together.
template <typename A> struct Two {
  A first, second;
};
template <typename A> __device__ __forceinline__ Two<A> exchange(Two<A> value, int lane) {
  return {exchange(value.first, lane), exchange(value.second, lane)};
}
struct AddTwo {
  template <typename A> __device__ __forceinline__ Two<A> operator()(Two<A> a, Two<A> b) const {
    return {a.first + b.first, a.second + b.second};
  }
};

// Rows are moved in packs of N where N divides their length: `T` of 16 bytes, else single elements. Then a row begins
// where a pack may if the first one does.
template <typename T> __device__ __forceinline__ bool in_packs(u32 dim) { return dim % PACK<T> == 0; }
__device__ __forceinline__ bool is_aligned(const void *start) { return u64(start) % 16 == 0; }

// N values from `from`, 16 bytes at a time if that address is a multiple of what is read at once.
template <typename T, int N> __device__ __forceinline__ Pack<T, N> load(const T *from, bool aligned) {
  constexpr int PIECE = N < PACK<T> ? N : PACK<T>;
  Pack<T, N> all;
  if (N == 1 || aligned) {
#pragma unroll
    for (int i = 0; i < N; i += PIECE) {
      auto piece = *reinterpret_cast<const Pack<T, PIECE> *>(from + i);
#pragma unroll
      for (int j = 0; j < PIECE; ++j) all[i + j] = piece[j];
    }
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) all[j] = from[j];
  }
  return all;
}

template <typename T, int N> __device__ __forceinline__ void store(T *to, const Pack<T, N> &all, bool aligned) {
  constexpr int PIECE = N < PACK<T> ? N : PACK<T>;
  if (N == 1 || aligned) {
#pragma unroll
    for (int i = 0; i < N; i += PIECE) {
      Pack<T, PIECE> piece;
#pragma unroll
      for (int j = 0; j < PIECE; ++j) piece[j] = all[i + j];
      *reinterpret_cast<Pack<T, PIECE> *>(to + i) = piece;
    }
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) to[j] = all[j];
  }
}

// Packs that a thread keeps where it has nothing else to keep: more would not fit into the registers of 1024 threads.
constexpr int KEPT = 4;

// `body(N, K)`, both as types: rows are moved in packs of N, and a thread keeps K of them; 0 where registers do not hold a
// row, whose packs are then read again each time.
template <typename T, int K, typename F>
__device__ __forceinline__ void with_packs(const Team &team, u32 dim, F body) {
  auto with_kept = [&](auto n) {
    if (dim <= u64(K) * n.value * team.size)
      body(n, std::integral_constant<int, K>{});
    else
      body(n, std::integral_constant<int, 0>{});
  };
  if (in_packs<T>(dim))
    with_kept(std::integral_constant<int, PACK<T>>{});
  else
    with_kept(std::integral_constant<int, 1>{});
}

// A row of which a thread keeps K packs, those of neighbours side by side.
template <typename T, int N, int K> struct Kept {
  Pack<T, N> packs[K > 0 ? K : 1];
  const T *row;
  bool aligned;

  static __device__ __forceinline__ u32 start(const Team &team, int k) { return (k * team.size + team.rank) * N; }

  __device__ __forceinline__ Kept(const Team &team, const T *row, u32 dim, bool aligned) : row(row), aligned(aligned) {
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (start(team, k) < dim) packs[k] = load<T, N>(row + start(team, k), aligned);
  }
};

// `body(start, pack, …)` for every pack of this thread in rows of one length. What it does to a pack stays in a kept one.
template <int N, int K, typename... T, typename F>
__device__ __forceinline__ void each_kept(const Team &team, u32 dim, F body, Kept<T, N, K> &...rows) {
  if constexpr (K > 0) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      u32 at = (k * team.size + team.rank) * N;
      if (at < dim) body(at, rows.packs[k]...);
    }
  } else {
#pragma unroll 2
    for (u32 at = team.rank * N; at < dim; at += team.size * N) body(at, load<T, N>(rows.row + at, rows.aligned)...);
  }
}

// `body(start, pack)` for every pack of a row that is read once.
template <typename T, int N, typename F>
__device__ __forceinline__ void each_pack(const Team &team, const T *row, u32 dim, bool aligned, F body) {
#pragma unroll 2
  for (u32 at = team.rank * N; at < dim; at += team.size * N) body(at, load<T, N>(row + at, aligned));
}
