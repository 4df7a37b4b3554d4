// Sorting: an element becomes a rank that is ordered as it is, and its place below the rank makes all entries unequal, so
// that any way to sort them is stable.
#pragma once
#include "common.cuh"

// Entries of ranks of up to 32 bits, and of longer ones.
using Short = u64;
struct alignas(16) Long {
  u64 rank, place;
};

template <typename E> __device__ __forceinline__ E entry(u64 rank, u32 place);
template <> __device__ __forceinline__ Short entry<Short>(u64 rank, u32 place) { return rank << 32 | place; }
template <> __device__ __forceinline__ Long entry<Long>(u64 rank, u32 place) { return {rank, place}; }

__device__ __forceinline__ u32 place_of(Short e) { return u32(e); }
__device__ __forceinline__ u32 place_of(Long e) { return u32(e.place); }
__device__ __forceinline__ bool before(Short a, Short b) { return a < b; }
__device__ __forceinline__ bool before(Long a, Long b) { return a.rank < b.rank || (a.rank == b.rank && a.place < b.place); }

// Behind all others: places end before it.
template <typename E> __device__ __forceinline__ E behind() { return entry<E>(sizeof(E) == 8 ? 0xFFFFFFFFu : ~u64(0), ~0u); }

// Sorts `size` entries of shared memory, a power of two; `make(i)` gives the first `valid` of them. Bitonic: in every pass
// all pairs that lie `distance` apart are ordered, upwards or downwards by the bit `run` of their position.
template <typename E, typename Make> __device__ void sort_shared(E *entries, u32 size, u32 valid, Make make) {
  for (u32 i = threadIdx.x; i < size; i += blockDim.x) entries[i] = i < valid ? make(i) : behind<E>();
  __syncthreads();
  for (u32 run = 2; run <= size; run *= 2) {
    for (u32 distance = run / 2; distance > 0; distance /= 2) {
      for (u32 i = threadIdx.x; i < size / 2; i += blockDim.x) {
        u32 low = 2 * i - (i & (distance - 1)), high = low + distance;
        E a = entries[low], b = entries[high];
        if (before(b, a) == ((low & run) == 0)) {
          entries[low] = b;
          entries[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

// Entries of a run before `e`.
template <typename E> __device__ __forceinline__ u32 count_before(const E *run, u32 size, E e) {
  u32 low = 0, high = size;
  while (low < high) {
    u32 middle = (low + high) / 2;
    if (before(run[middle], e))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}
