// What kernels of attention on Hopper share: how threads and registers are given to roles, and walks over tiles.
//
// A block is warpgroups that compute, with 64 rows of their own each, and one behind them that copies what they walk over,
// some rows at a time into a ring of stages. Each role walks by itself, and in the same order.
#pragma once
#include "attention.cuh"
#include "wgmma.cuh"

constexpr f32 LOG2E = 1.4426950408889634f;

// For so many warpgroups that compute: threads of a block, and the registers of those that copy when the others have MANY.
// A block begins with 128 or 168 of each thread, as launch bounds let the compiler have, and can only share them out anew.
template <int GROUPS> constexpr int THREADS = (GROUPS + 1) * 4 * WARP;
template <int GROUPS, int MANY> constexpr int FEW = (GROUPS + 1) * (GROUPS == 3 ? 128 : 168) - GROUPS * MANY;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

// Scores of which `seen(i, column)` is false for row g + 8i become −∞.
template <int N, typename F> __device__ __forceinline__ void hide(f32 (&scores)[N][4], F seen) {
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (!seen(i / 2, n * 8 + i32(threadIdx.x % 4) * 2 + i % 2)) scores[n][i] = -INFINITY;
}

// A tile of queries of one head, which meet keys in blocks of STEP. Without documents (DOCS) all blocks of keys below `end` are met.
template <int QUERIES, int STEP, bool DOCS> struct Work {
  u32 head, b, h;
  i32 begin, last, end;
  Sequence s;
  int2 own;

  __device__ __forceinline__ Work(const Attention &a, u32 heads, u32 tile)
      // The last queries see the most keys: first come the long tiles. Heads that share keys are neighbours.
      : head(tile % heads), b(head / a.heads), h(head % a.heads),
        begin((i32((a.queries + QUERIES - 1) / QUERIES) - 1 - i32(tile / heads)) * QUERIES),
        last(min(begin + QUERIES, i32(a.queries)) - 1), s(a, b) {
    end = s.limit(last);
    own = DOCS ? s.range(s.position(begin), s.position(last)) : make_int2(0, 0);
  }
  // The next block of keys that some query sees.
  __device__ __forceinline__ i32 next(i32 key) const {
    if constexpr (DOCS)
      while (key < end && meeting(s, begin, last, own, key, STEP) == Meeting::NONE) key += STEP;
    return key;
  }
};

// What a warpgroup has of a tile of queries; it may have nothing.
template <int STEP, bool DOCS> struct Part {
  i32 begin, last, end, all;
  int2 own;

  template <int QUERIES> __device__ __forceinline__ Part(const Work<QUERIES, STEP, DOCS> &work, u32 warpgroup) {
    const Sequence &s = work.s;
    begin = work.begin + i32(warpgroup) * 64;
    last = min(begin + 63, work.last);
    end = begin <= last ? s.limit(last) : 0;
    all = begin <= last ? s.limit(begin) : 0;
    own = DOCS && begin <= last ? s.range(s.position(begin), s.position(last)) : make_int2(0, 0);
  }
  // Scores of a block of keys become −∞ where rows `row` and row + 8 do not see them.
  __device__ __forceinline__ void hide_unseen(f32 (&scores)[STEP / 8][4], const Sequence &s, i32 row, i32 key) const {
    if (DOCS ? meeting(s, begin, last, own, key, STEP) == Meeting::ALL : key + STEP <= all) return;
    i32 limit[2], document[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      i32 query = row + i * 8;
      limit[i] = query <= last ? s.limit(query) : 0;
      document[i] = DOCS && query <= last ? s.document(query) : 0;
    }
    hide(scores, [&](int i, i32 column) {
      return key + column < limit[i] && (!DOCS || s.documents[key + column] == document[i]);
    });
  }
};

// Tiles of a block: there and back over the blocks, since tiles get shorter.
template <typename F> __device__ __forceinline__ void each_tile(u32 tiles, F body) {
  for (u32 round = 0; u64(round) * gridDim.x < tiles; ++round) {
    u32 tile = round * gridDim.x + (round % 2 ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
    if (tile < tiles) body(tile);
  }
}

#endif
