// Products of a few rows, column by column: what a lane reads of a column, and in which order it adds it up.
#pragma once
#include "common.cuh"

// Packs of a column that a lane has on their way at once.
constexpr int AHEAD = 5;

// Warps of a block, which share columns of b that are straight.
constexpr u32 WARPS = 8;

template <typename T> __device__ __forceinline__ Pack<T, PACK<T>> pack_at(const T *from) {
  return *reinterpret_cast<const Pack<T, PACK<T>> *>(from);
}

template <typename T>
__device__ __forceinline__ void add_products(Acc<T> &sum, const Pack<T, PACK<T>> &v, const Pack<T, PACK<T>> &w) {
#pragma unroll
  for (int j = 0; j < PACK<T>; ++j) sum += Acc<T>(widen(v[j])) * Acc<T>(widen(w[j]));
}

// The part of a column that a warp has.
struct Share {
  u32 column, part, lane;

  // `split` warps have a column, neighbours in a block.
  __device__ __forceinline__ explicit Share(u32 split) : lane(threadIdx.x % WARP) {
    u32 warp = threadIdx.x / WARP;
    column = blockIdx.x * (WARPS / split) + warp / split;
    part = warp % split;
  }
};

// Asks for what a warp will read of a column, before anything of it may be read: it may be about to be written.
template <typename T>
__device__ __forceinline__ void fetch_share(const T *column, u32 k, const Share &own, u32 split) {
  constexpr u32 LINE = 128;
  auto start = reinterpret_cast<const unsigned char *>(column);
  u64 bytes = u64(k) * sizeof(T);
  for (u64 i = (u64(own.part) * WARP + own.lane) * LINE; i < bytes; i += u64(split) * WARP * LINE)
    fetch_line(start + i);
}
