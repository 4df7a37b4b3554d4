// A stable sort of pairs of a 32-bit key and a 32-bit value, 8 bits of the key a pass, least significant first.
//
// A block owns a tile of 4096 pairs. Each pass counts the digits of every tile, sums the counts over digits and tiles,
// and moves the pairs; equal digits keep their order. Bandwidth bound: two reads and one write of the pairs a pass.
#include "common.cuh"

constexpr u32 THREADS = 256, DIGITS = 256, ROUNDS = 16, TILE = THREADS * ROUNDS;

__device__ __forceinline__ u32 digit_of(u32 key, u32 shift) { return key >> shift & (DIGITS - 1); }

// counts[digit][tile].
extern "C" __global__ void radix_count(u32 *counts, const u32 *keys, u32 n, u32 shift) {
  __shared__ u32 seen[DIGITS];
  seen[threadIdx.x] = 0;
  __syncthreads();
  u64 start = u64(blockIdx.x) * TILE;
  for (u32 round = 0; round < ROUNDS; ++round) {
    u64 i = start + round * THREADS + threadIdx.x;
    if (i < n) atomicAdd(&seen[digit_of(keys[i], shift)], 1u);
  }
  __syncthreads();
  counts[u64(threadIdx.x) * gridDim.x + blockIdx.x] = seen[threadIdx.x];
}

// Each count becomes the sum of those before it. One block of 1024 threads.
extern "C" __global__ void radix_scan(u32 *counts, u32 n) {
  constexpr u32 EACH = 4;
  __shared__ u32 sums[WARP];
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, before = 0;
  for (u64 start = 0; start < n; start += 1024 * EACH) {
    u64 at = start + threadIdx.x * EACH;
    u32 own[EACH], sum = 0;
#pragma unroll
    for (u32 j = 0; j < EACH; ++j) {
      own[j] = at + j < n ? counts[at + j] : 0;
      sum += own[j];
    }
    u32 upto = sum;
    for (u32 far = 1; far < WARP; far *= 2) {
      u32 other = __shfl_up_sync(0xFFFFFFFFu, upto, far);
      if (lane >= far) upto += other;
    }
    if (lane == WARP - 1) sums[warp] = upto;
    __syncthreads();
    u32 earlier = 0, all = 0;
    for (u32 w = 0; w < WARP; ++w) {
      if (w < warp) earlier += sums[w];
      all += sums[w];
    }
    u32 next = before + earlier + upto - sum;
#pragma unroll
    for (u32 j = 0; j < EACH; ++j) {
      if (at + j < n) counts[at + j] = next;
      next += own[j];
    }
    before += all;
    __syncthreads();
  }
}

extern "C" __global__ void radix_move(u32 *keys_out, u32 *values_out, const u32 *keys, const u32 *values,
                                      const u32 *counts, u32 n, u32 shift) {
  // Where the next pair with a digit goes, for the tile; and for each warp of the round.
  __shared__ u32 next[DIGITS];
  __shared__ u32 places[THREADS / WARP][DIGITS];
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  next[threadIdx.x] = counts[u64(threadIdx.x) * gridDim.x + blockIdx.x];
  u64 start = u64(blockIdx.x) * TILE;
  for (u32 round = 0; round < ROUNDS; ++round) {
    u64 i = start + round * THREADS + threadIdx.x;
    bool valid = i < n;
    u32 key = valid ? keys[i] : 0, digit = digit_of(key, shift);
    for (u32 w = 0; w < THREADS / WARP; ++w) places[w][threadIdx.x] = 0;
    __syncthreads();
    u32 peers = __match_any_sync(0xFFFFFFFFu, valid ? digit : DIGITS);
    u32 rank = __popc(peers & ((1u << lane) - 1));
    if (valid && rank == 0) places[warp][digit] = __popc(peers);
    __syncthreads();
    // Thread d looks after digit d.
    u32 place = next[threadIdx.x];
    for (u32 w = 0; w < THREADS / WARP; ++w) {
      u32 count = places[w][threadIdx.x];
      places[w][threadIdx.x] = place;
      place += count;
    }
    next[threadIdx.x] = place;
    __syncthreads();
    if (valid) {
      u32 to = places[warp][digit] + rank;
      keys_out[to] = key;
      values_out[to] = values[i];
    }
    __syncthreads();
  }
}
