// Products of a few rows with columns that are straight: what a lane adds up at once.
#pragma once
#include "common.cuh"

// Warps of a block, which share columns.
constexpr u32 WARPS = 8;

// Packs of a part of a column that a lane has on their way at once: `matmul.rs` cuts columns so that they are enough.
constexpr int AHEAD = 6;

template <typename T> __device__ __forceinline__ Pack<T, PACK<T>> pack_at(const T *from) {
  return *reinterpret_cast<const Pack<T, PACK<T>> *>(from);
}

template <typename T>
__device__ __forceinline__ void add_products(Acc<T> &sum, const Pack<T, PACK<T>> &v, const Pack<T, PACK<T>> &w) {
#pragma unroll
  for (int j = 0; j < PACK<T>; ++j) sum += Acc<T>(widen(v[j])) * Acc<T>(widen(w[j]));
}
