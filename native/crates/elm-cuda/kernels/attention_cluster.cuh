// y = softmax(scale · q kᵀ) v for a few queries and some thousand keys: generation on Hopper.
//
// A cluster of blocks has a kv head and all queries that read it, up to ROWS of them. Its warps take tiles of 16 keys in
// turns, each with a maximum and sums of its own, so that nobody waits for anybody until all keys have been met. Then every
// warp sends its sums to the blocks that join them, a share of the components each. What it takes is the latency of memory,
// of a barrier and of little else.
//
// Scores are a product of tensor cores with queries as rows (of which half are missing) and keys as columns. Which
// components are multiplied in which step does not matter as long as it is the same for both, so lane t of a key takes
// chunks t, t + 4, … of 16 bytes. The lane that has the scores of a row and of keys 2t, 2t + 1 (of each half of a tile)
// gives their weights to the second product as they are. There, a lane has chunk g of these four keys' values, and each of
// the eight products of a chunk's components takes one component of each lane: the sums of row g and components
// 16t … 16t + 15 end up in one lane.
#pragma once
#include "attention_queries.cuh"
#include "cluster.cuh"
#include "mma.cuh"

// Blocks of a cluster and warps of a block; `cluster.rs` knows them.
constexpr u32 CLUSTER = 8, WARPS = THREADS / WARP, PARTS = CLUSTER * WARPS;
static_assert(PARTS == WARP, "a lane has the statistics of each part");

constexpr u32 ROWS = 8, TILE = 16, STEP = PARTS * TILE;

// What a block joins: for each part its statistics (maximum, sum of weights), and sums of a share of the components.
template <int D> struct Joined {
  float2 stats[ROWS][PARTS];
  float4 sums[ROWS][D / CLUSTER / 4][PARTS];
};

// Keys and values of a tile, as the lanes of a warp have them: chunks `t + 4 i` of keys g and g + 8, and chunks `g + 8 i`
// of the values of keys 2t, 2t + 1, 2t + 8 and 2t + 9.
template <typename T, int D> struct KeysOfTile {
  Pack<T, 8> chunks[2][D / 32];
};
template <typename T, int D> struct ValuesOfTile {
  Pack<T, 8> chunks[4][D / 64];
};

// Which keys of a tile a lane has.
__device__ __forceinline__ u32 key_of(int i) { return threadIdx.x % WARP / 4 + i * 8; }
__device__ __forceinline__ u32 value_of(int i) { return threadIdx.x % 4 * 2 + i % 2 + i / 2 * 8; }

template <typename T, int D>
__device__ __forceinline__ void load(KeysOfTile<T, D> &tile, const T *k, i64 down, u32 start, u32 count) {
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int c = 0; c < D / 32; ++c)
      if (start + key_of(i) < count)
        tile.chunks[i][c] =
            *reinterpret_cast<const Pack<T, 8> *>(k + i64(start + key_of(i)) * down + (threadIdx.x % 4 + c * 4) * 8);
}
template <typename T, int D>
__device__ __forceinline__ void load(ValuesOfTile<T, D> &tile, const T *v, i64 down, u32 start, u32 count) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int c = 0; c < D / 64; ++c)
      if (start + value_of(i) < count)
        tile.chunks[i][c] = *reinterpret_cast<const Pack<T, 8> *>(v + i64(start + value_of(i)) * down +
                                                                  (threadIdx.x % WARP / 4 + c * 8) * 8);
}

// Register i of a chunk: two components.
template <typename T> __device__ __forceinline__ u32 &two(Pack<T, 8> &chunk, int i) {
  return reinterpret_cast<u32 *>(&chunk)[i];
}

// Sums of a warp's tiles: of row g, components 16t … 16t + 15 of each 64; what tensor cores leave of rows 8 … 15 is unused.
template <typename T, int D> struct Sums {
  u32 queries[D / 16][4];
  f32 total[D / 8][4], most, sum;

  // Rows behind the last one are 0.
  __device__ __forceinline__ void start(const T *row) {
    most = -INFINITY, sum = 0;
#pragma unroll
    for (int j = 0; j < D / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) total[j][i] = 0;
#pragma unroll
    for (int c = 0; c < D / 32; ++c) {
      Pack<T, 8> chunk{};
      if (row) chunk = *reinterpret_cast<const Pack<T, 8> *>(row + (threadIdx.x % 4 + c * 4) * 8);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        u32(&a)[4] = queries[c * 2 + i];
        a[0] = two(chunk, i * 2), a[1] = 0, a[2] = two(chunk, i * 2 + 1), a[3] = 0;
      }
    }
  }

  // Scores of keys 2t, 2t + 1, 2t + 8, 2t + 9.
  __device__ __forceinline__ void score(f32 (&scores)[4], KeysOfTile<T, D> &keys) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      f32 c[4] = {0, 0, 0, 0};
#pragma unroll
      for (int s = 0; s < D / 16; ++s)
        mma(T{}, c, queries[s], two(keys.chunks[i][s / 2], s % 2 * 2), two(keys.chunks[i][s / 2], s % 2 * 2 + 1));
      scores[i * 2] = c[0], scores[i * 2 + 1] = c[1];
    }
  }

  __device__ __forceinline__ void add(const f32 (&scores)[4], ValuesOfTile<T, D> &values) {
    f32 before = most;
#pragma unroll
    for (int i = 0; i < 4; ++i) most = fmaxf(most, scores[i]);
    // The four lanes of a row have one maximum.
    most = fmaxf(most, exchange(most, 1));
    most = fmaxf(most, exchange(most, 2));
    // Nothing seen: −∞ − −∞ is no number.
    f32 reference = most == -INFINITY ? 0.0f : most, factor = expf(before - reference), weights[4];
    sum *= factor;
#pragma unroll
    for (int i = 0; i < 4; ++i) sum += weights[i] = expf(scores[i] - reference);
    u32 a[4] = {pack2(T{}, weights[0], weights[1]), 0, pack2(T{}, weights[2], weights[3]), 0};
#pragma unroll
    for (int c = 0; c < D / 64; ++c)
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        // Component j of four keys, two a register.
        constexpr u32 LOW = 0x5410, HIGH = 0x7632;
        u32 half = j % 2 ? HIGH : LOW;
        u32 b0 = __byte_perm(two(values.chunks[0][c], j / 2), two(values.chunks[1][c], j / 2), half);
        u32 b1 = __byte_perm(two(values.chunks[2][c], j / 2), two(values.chunks[3][c], j / 2), half);
        f32(&own)[4] = total[c * 8 + j];
        own[0] *= factor, own[1] *= factor;
        mma(T{}, own, a, b0, b1);
      }
  }

  // To the blocks that join them.
  __device__ __forceinline__ void send(Joined<D> &joined, u32 part, u32 rows) {
    u32 row = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    sum += exchange(sum, 1);
    sum += exchange(sum, 2);
    if (row >= rows) return;
#pragma unroll
    for (u32 rank = t * 2; rank < t * 2 + 2; ++rank) store_in(rank, &joined.stats[row][part], most, sum);
    // Components 16 t of each 64 and the 15 behind them; a block joins D / CLUSTER side by side.
#pragma unroll
    for (int c = 0; c < D / 64; ++c)
#pragma unroll
      for (int quad = 0; quad < 4; ++quad) {
        u32 at = c * 64 + t * 16 + quad * 4;
        f32(&x)[4] = total[c * 8 + quad % 2 * 4], (&y)[4] = total[c * 8 + quad % 2 * 4 + 1];
        f32(&z)[4] = total[c * 8 + quad % 2 * 4 + 2], (&w)[4] = total[c * 8 + quad % 2 * 4 + 3];
        store_in(at / (D / CLUSTER), &joined.sums[row][at % (D / CLUSTER) / 4][part], x[quad / 2], y[quad / 2],
                 z[quad / 2], w[quad / 2]);
      }
  }
};

// Joins the parts of this block's components: `y` and `lse` begin with the first row.
template <typename T, int D> __device__ __forceinline__ void join(T *y, f32 *lse, const Joined<D> &joined, u32 rows) {
  // Sixteen lanes have four components: two parts each, then a tree. All lanes of a warp go round equally often.
  constexpr u32 SHARES = 16, UNITS = THREADS / SHARES, QUADS = D / CLUSTER / 4, EACH = PARTS / SHARES;
  u32 rank = blockIdx.x % CLUSTER, share = threadIdx.x % SHARES;
  auto all = [](f32 value, auto f) {
#pragma unroll
    for (u32 other = SHARES / 2; other > 0; other /= 2) value = f(value, exchange(value, other));
    return value;
  };
  for (u32 base = 0; base < rows * QUADS; base += UNITS) {
    u32 unit = base + threadIdx.x / SHARES, row = min(unit / QUADS, rows - 1), quad = unit % QUADS;
    float2 stats[EACH];
    f32 most = -INFINITY, sum = 0, total[4] = {0, 0, 0, 0};
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
      stats[i] = joined.stats[row][share + i * SHARES];
      most = fmaxf(most, stats[i].x);
    }
    most = all(most, Max{});
    // Nothing seen: −∞ − −∞ is no number.
    f32 reference = most == -INFINITY ? 0.0f : most;
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
      f32 factor = expf(stats[i].x - reference);
      float4 own = joined.sums[row][quad][share + i * SHARES];
      sum += factor * stats[i].y;
      total[0] += factor * own.x, total[1] += factor * own.y, total[2] += factor * own.z, total[3] += factor * own.w;
    }
    sum = all(sum, Add{});
    Pack<T, 4> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      f32 whole = all(total[i], Add{});
      out[i] = narrow<T>(sum == 0 ? 0.0f : whole / sum);
    }
    if (share != 0 || unit >= rows * QUADS) continue;
    *reinterpret_cast<Pack<T, 4> *>(y + row * D + rank * (D / CLUSTER) + quad * 4) = out;
    if (lse && rank == 0 && quad == 0) lse[row] = most + logf(sum);
  }
}

// The tile that a warp takes first.
__device__ __forceinline__ u32 first_tile() { return (blockIdx.x % CLUSTER * WARPS + threadIdx.x / WARP) * TILE; }
// The block that takes a key.
__device__ __forceinline__ u32 owner(i32 key) { return u32(key) / TILE % PARTS / WARPS; }

// Asks for the first tiles, before they may be read. It also brings the call's arguments near, which takes as long.
template <int D, typename T> __device__ __forceinline__ void fetch_tiles(const T *k, const T *v, const Attention &a) {
  constexpr u32 LINE = 128 / sizeof(T), TILES = 3;
  u32 kv = blockIdx.x / CLUSTER, b = kv / kv_heads(a), kv_head = kv % kv_heads(a), lane = threadIdx.x % WARP;
  k += b * a.k[0] + kv_head * a.k[1];
  v += b * a.v[0] + kv_head * a.v[1];
  for (u32 tile = 0; tile < TILES; ++tile) {
    u32 key = first_tile() + tile * STEP + lane % TILE;
    if (key >= a.keys) return;
    const T *from = lane < TILE ? k + key * a.k[2] : v + key * a.v[2];
#pragma unroll
    for (u32 at = 0; at < D; at += LINE) fetch_line(from + at);
  }
}

// `queries` says where the rows of queries lie. Its `prepare` may write a key and its value to the cache first, which are
// then its `fresh` ones, and lie in shared memory; all others are read before that.
template <typename T, int D, typename Queries>
__device__ void decode_in_cluster(T *y, f32 *lse, const T *k, const T *v, const Attention &a, Queries &queries) {
  __shared__ Joined<D> joined;
  u32 rank = blockIdx.x % CLUSTER, kv = blockIdx.x / CLUSTER, b = kv / kv_heads(a), kv_head = kv % kv_heads(a);
  u32 rows = a.group * a.queries, row = threadIdx.x % WARP / 4, first = first_tile(), part = first / TILE;
  k += b * a.k[0] + kv_head * a.k[1];
  v += b * a.v[0] + kv_head * a.v[1];
  // What takes longest comes first: the new heads, the first keys and values.
  queries.start(a, b, kv_head);
  KeysOfTile<T, D> keys, later_keys;
  ValuesOfTile<T, D> values, later_values;
  load(keys, k, a.k[2], first, a.keys);
  load(values, v, a.v[2], first, a.keys);
  Sequence s(a, b);
  bool is_there = queries.prepare(b, kv_head, rank == 0, [&](i32 key) { return owner(key) == rank; });
  // All blocks agree about that.
  if (!is_there) return cluster_wait();
  i32 limit = s.limit(i32(a.queries) - 1);
  // Larger heads leave no registers for a second tile; it lies in the second cache by then.
  constexpr bool TWO = D == 64;
  if constexpr (TWO) {
    load(later_keys, k, a.k[2], first + STEP, u32(limit));
    load(later_values, v, a.v[2], first + STEP, u32(limit));
  }
  Sums<T, D> sums;
  sums.start(row < rows ? queries.row(a, b, kv_head, row) : nullptr);
  i32 query = i32(min(row, rows - 1) % a.queries), own_limit = s.limit(query), document = s.document(query);
  auto meet = [&](KeysOfTile<T, D> &keys, ValuesOfTile<T, D> &values, u32 start) {
    i32 fresh = queries.fresh() - i32(start);
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int c = 0; c < D / 32; ++c)
        if (i32(key_of(i)) == fresh) keys.chunks[i][c] = queries.fresh_key(threadIdx.x % 4 + c * 4);
    f32 scores[4];
    sums.score(scores, keys);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      i32 key = i32(start + value_of(i));
      bool seen = key < own_limit && (!s.documents || s.documents[key] == document);
      scores[i] = seen ? scores[i] * f32(a.scale) : -INFINITY;
#pragma unroll
      for (int c = 0; c < D / 64; ++c) {
        u32 chunk = threadIdx.x % WARP / 4 + c * 8;
        if (i32(value_of(i)) == fresh) values.chunks[i][c] = queries.fresh_value(chunk);
        // What lies behind the last key may be anything, and was perhaps not read.
        if (key >= limit) values.chunks[i][c] = Pack<T, 8>{};
      }
    }
    sums.add(scores, values);
  };
  for (u32 start = first; i32(start) < limit; start += STEP) {
    meet(keys, values, start);
    if constexpr (TWO) {
      keys = later_keys;
      values = later_values;
      load(later_keys, k, a.k[2], start + 2 * STEP, u32(limit));
      load(later_values, v, a.v[2], start + 2 * STEP, u32(limit));
    } else {
      load(keys, k, a.k[2], start + STEP, u32(limit));
      load(values, v, a.v[2], start + STEP, u32(limit));
    }
  }
  // All blocks have begun: `cluster_arrive` came before anything else.
  cluster_wait();
  sums.send(joined, part, rows);
  cluster_arrive();
  cluster_wait();
  join<T, D>(y + u64(kv) * rows * D, lse ? lse + u64(kv) * rows : nullptr, joined, rows);
}
