// Where the kernels of clusters find their rows of queries: in memory, or made from a projection on the way.
#pragma once
#include "attention.cuh"
#include "heads.cuh"

constexpr int THREADS = 128;

// Queries that lie in memory.
template <typename T> struct Stored {
  const T *q;

  __device__ __forceinline__ void start(const Attention &, u32, u32) {}
  template <typename F> __device__ __forceinline__ bool prepare(u32, u32, bool, F) { return true; }
  __device__ __forceinline__ const T *row(const Attention &a, u32 b, u32 kv_head, u32 r) const {
    return q + b * a.q[0] + (kv_head * a.group + r / a.queries) * a.q[1] + r % a.queries * a.q[2];
  }
  // The place of the key that was only just made, and chunks of 16 bytes of it and of its value.
  __device__ __forceinline__ i32 fresh() const { return -1; }
  __device__ __forceinline__ Pack<T, 8> fresh_key(u32) const { return {}; }
  __device__ __forceinline__ Pack<T, 8> fresh_value(u32) const { return {}; }
};

// The heads of a token that read or make one kv head: queries in order, the key, the value.
template <typename T, int D, int HEADS> struct NewHeads {
  alignas(16) T heads[HEADS][D];
  Turn<Acc<T>> turns[D / 2];
};

// Queries of a token that has just been projected. All blocks of a kv head make its heads for themselves, and one of them
// writes the key and the value to the cache.
template <typename T, typename W, int D> struct Made {
  // Threads that have no head make the angles, as far as there are such.
  static constexpr u32 FIRST = THREADS - D / 2;
  static constexpr u32 LANES = D / 16, MOST = THREADS / LANES < 10 ? THREADS / LANES : 10;
  using Space = NewHeads<T, D, MOST>;

  T *q;
  const Caches<T> &caches;
  const T *qkv;
  const W *q_weight, *k_weight;
  const Heads &heads;
  // Of the angle that this thread makes.
  f64 frequency;
  f64 eps;
  Space &space;
  i32 place = -1;
  u32 group = 0;
  // Of the head that this thread has a share of.
  Pack<T, 8> low = {}, high = {};
  Pack<W, 8> low_weight = {}, high_weight = {};

  static __device__ __forceinline__ f64 frequency_of(const Frequencies &all) {
    return threadIdx.x >= FIRST ? all.values[threadIdx.x - FIRST] : 0;
  }

  // Before the call may read what was written just before: asks for what it will read, and brings its arguments near, each
  // line of which takes as long as a read. That is all that the sum is for.
  __device__ __forceinline__ void fetch_ahead() const {
    if (threadIdx.x == 0) fetch_line(qkv + (heads.query + heads.kv + (eps > 0)) % 2);
    if (q_weight && threadIdx.x * 64 < D * sizeof(W)) fetch_line(q_weight + threadIdx.x * 64 / sizeof(W));
    if (k_weight && threadIdx.x * 64 < D * sizeof(W)) fetch_line(k_weight + threadIdx.x * 64 / sizeof(W));
    if (caches.batch > 0 && caches.most >= 0) fetch_line(caches.offset);
  }

  __device__ __forceinline__ bool is_query() const { return own() < group; }
  __device__ __forceinline__ bool is_value() const { return own() == group + 1; }
  // The head of this thread; those that have none repeat the key's reads.
  __device__ __forceinline__ bool is_active() const { return threadIdx.x / LANES < group + 2; }
  __device__ __forceinline__ u32 own() const { return is_active() ? threadIdx.x / LANES : group; }
  __device__ __forceinline__ u32 head(u32 kv_head) const {
    return is_query() ? kv_head * group + own() : heads.query + (is_value() ? heads.kv : 0) + kv_head;
  }
  __device__ __forceinline__ const W *weight() const { return is_query() ? q_weight : is_value() ? nullptr : k_weight; }

  // Starts the reads. There is one token in each sequence.
  __device__ __forceinline__ void start(const Attention &a, u32 b, u32 kv_head) {
    place = caches.offset[b];
    group = a.group;
    u32 at = threadIdx.x % LANES * 8;
    const T *x = qkv + (u64(b) * (heads.query + 2 * heads.kv) + head(kv_head)) * D + at;
    low = *reinterpret_cast<const Pack<T, 8> *>(x), high = *reinterpret_cast<const Pack<T, 8> *>(x + D / 2);
    if (const W *w = weight()) {
      low_weight = *reinterpret_cast<const Pack<W, 8> *>(w + at);
      high_weight = *reinterpret_cast<const Pack<W, 8> *>(w + D / 2 + at);
    }
  }

  // All threads of the block call it. The block for which `writes(place)` holds writes to that place, the `first` one leaves
  // the queries in memory. False, with nothing written, if a place does not exist.
  template <typename F> __device__ __forceinline__ bool prepare(u32 b, u32 kv_head, bool first, F writes) {
    using A = Acc<T>;
    u32 sub = threadIdx.x % LANES;
    bool is_normed = weight() != nullptr;
    int bad = 0;
    for (u64 i = threadIdx.x; i < caches.batch; i += THREADS) {
      i32 offset = caches.offset[i];
      if (offset >= 0 && offset <= caches.most) continue;
      bad = 1;
      if (blockIdx.x == 0) report(caches.word, i, offset);
    }
    if (threadIdx.x >= FIRST) space.turns[threadIdx.x - FIRST] = turn_at<A>(f64(place), frequency);
    A squares = 0, lows[8], highs[8];
    add_squares<T, 8>(squares, low, high);
#pragma unroll
    for (u32 lane = LANES / 2; lane > 0; lane /= 2) squares += exchange(squares, lane);
    A scale = is_normed ? norm_scale(squares, D, eps) : A(1);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      lows[e] = widen(low[e]), highs[e] = widen(high[e]);
      if (!is_normed) continue;
      lows[e] = weighted<T>(lows[e], scale, low_weight[e]);
      highs[e] = weighted<T>(highs[e], scale, high_weight[e]);
    }
    if (__syncthreads_or(bad)) return false;
    if (is_active()) {
      if (!is_value())
#pragma unroll
        for (int e = 0; e < 8; ++e) turned<T>(low[e], high[e], lows[e], highs[e], space.turns[sub * 8 + e]);
      auto leave = [&](T *to) {
        *reinterpret_cast<Pack<T, 8> *>(to + sub * 8) = low;
        *reinterpret_cast<Pack<T, 8> *>(to + D / 2 + sub * 8) = high;
      };
      leave(space.heads[own()]);
      if (is_query() && first) leave(q + (u64(b) * heads.query + head(kv_head)) * D);
      if (!is_query() && writes(place)) {
        const i64 *steps = is_value() ? caches.value_steps : caches.key_steps;
        leave((is_value() ? caches.values : caches.keys) + i64(b) * steps[0] + i64(kv_head) * steps[1] + i64(place) * steps[2]);
      }
    }
    __syncthreads();
    return true;
  }

  __device__ __forceinline__ const T *row(const Attention &, u32, u32, u32 r) const { return space.heads[r]; }
  __device__ __forceinline__ i32 fresh() const { return place; }
  __device__ __forceinline__ Pack<T, 8> fresh_key(u32 chunk) const { return chunk_of(group, chunk); }
  __device__ __forceinline__ Pack<T, 8> fresh_value(u32 chunk) const { return chunk_of(group + 1, chunk); }
  __device__ __forceinline__ Pack<T, 8> chunk_of(u32 which, u32 chunk) const {
    return *reinterpret_cast<const Pack<T, 8> *>(space.heads[which] + chunk * 8);
  }
};
