// y = softmax(scale · q kᵀ) v for a few queries and many keys: generation.
//
// A block has 64 keys of a kv head and all queries that read them, up to R rows; so many blocks keep the chip busy
// whatever the batch, and the split depends on the number of keys alone. The block that is done last joins the parts of
// its kv head, always from the first key to the last. Blocks of keys that no query sees leave at once.
// Keys and values are read once, 16 bytes at a time: what a block takes is the latency of memory.
#include "attention.cuh"

constexpr int CHUNK = 64, THREADS = 128, WARPS = THREADS / WARP, MOST_DIM = 256;

// Packs of keys and of values that a thread has on their way at once: all of them for heads of 64 numbers of 16 bits.
constexpr int AHEAD = 4;

// What a block keeps of its part, and what the last block keeps of a tile of parts.
template <int R> struct Shared {
  f32 weights[R][CHUNK];
  f32 of_warp[WARPS][R][MOST_DIM];
  // Of each row: what is taken out of exponents, and 1 / the sum of all weights.
  float2 whole[R];
  bool is_last;
};

// Whether all other blocks of this kv head are done. `arrived` counts them, and is 0 again after the last one.
template <int R> __device__ __forceinline__ bool is_last(Shared<R> &shared, u32 *arrived, u32 blocks) {
  // What this block wrote is there for all others before it counts as done.
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) shared.is_last = atomicInc(arrived, blocks - 1) == blocks - 1;
  __syncthreads();
  if (shared.is_last) __threadfence();
  return shared.is_last;
}

// Joins the `parts` parts of a kv head: `sums` and `stats` begin with its first one, `y` and `lse` with its first row.
// Others have written the parts, so they are read past the first cache.
template <typename T, int R>
__device__ void join(T *y, f32 *lse, const f32 *sums, const float2 *stats, u32 rows, u32 dim, u32 parts,
                     Shared<R> &shared) {
  // Sums of four components at a time.
  constexpr int UNITS = R * MOST_DIM / 4 > THREADS ? R * MOST_DIM / 4 / THREADS : 1;
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, units = rows * dim / 4;
  // Up to so many parts a warp has the statistics of a row at once, and leaves the weights of the parts right away.
  bool at_once = parts <= CHUNK;
  for (u32 r = warp; r < R && r < rows; r += WARPS) {
    const float2 *own = stats + r;
    float2 few[CHUNK / WARP];
    f32 most = -INFINITY, sum = 0;
#pragma unroll
    for (int i = 0; i < CHUNK / WARP; ++i) {
      u32 p = lane + i * WARP;
      few[i] = p < parts ? __ldcg(&own[u64(p) * rows]) : make_float2(-INFINITY, 0);
      most = fmaxf(most, few[i].x);
    }
    for (u32 p = lane + CHUNK; p < parts; p += WARP) most = fmaxf(most, __ldcg(&own[u64(p) * rows]).x);
    most = warp_all(most, Max{});
    // Nothing seen: −∞ − −∞ is no number.
    f32 reference = most == -INFINITY ? 0.0f : most;
#pragma unroll
    for (int i = 0; i < CHUNK / WARP; ++i) {
      f32 weight = expf(few[i].x - reference);
      sum += weight * few[i].y;
      if (at_once) shared.weights[r][lane + i * WARP] = few[i].y == 0 ? 0.0f : weight;
    }
    for (u32 p = lane + CHUNK; p < parts; p += WARP) {
      float2 one = __ldcg(&own[u64(p) * rows]);
      sum += expf(one.x - reference) * one.y;
    }
    sum = warp_all(sum, Add{});
    if (lane == 0) {
      shared.whole[r] = make_float2(reference, sum == 0 ? 0.0f : 1 / sum);
      if (lse) lse[r] = most + logf(sum);
    }
  }
  float4 total[UNITS];
#pragma unroll
  for (int u = 0; u < UNITS; ++u) total[u] = make_float4(0, 0, 0, 0);
  for (u32 base = 0; base < parts; base += CHUNK) {
    u32 count = min(parts - base, u32(CHUNK));
    __syncthreads();
    // Parts in which a row sees nothing have a weight of 0, and perhaps no sums.
    for (u32 i = threadIdx.x; i < rows * CHUNK && !at_once; i += THREADS) {
      u32 r = i / CHUNK, p = i % CHUNK;
      if (p >= count) continue;
      float2 own = __ldcg(&stats[u64(base + p) * rows + r]);
      shared.weights[r][p] = own.y == 0 ? 0.0f : expf(own.x - shared.whole[r].x);
    }
    __syncthreads();
#pragma unroll
    for (int u = 0; u < UNITS; ++u) {
      u32 unit = threadIdx.x + u * THREADS;
      if (unit >= units) break;
      const f32 *weights = shared.weights[unit * 4 / dim];
      const f32 *from = sums + u64(base) * rows * dim + u64(unit) * 4;
#pragma unroll 8
      for (u32 p = 0; p < count; ++p) {
        float4 part = __ldcg(reinterpret_cast<const float4 *>(from + u64(p) * rows * dim));
        f32 weight = weights[p];
        if (weight == 0) part = make_float4(0, 0, 0, 0);
        total[u].x += weight * part.x;
        total[u].y += weight * part.y;
        total[u].z += weight * part.z;
        total[u].w += weight * part.w;
      }
    }
  }
#pragma unroll
  for (int u = 0; u < UNITS; ++u) {
    u32 unit = threadIdx.x + u * THREADS;
    if (unit >= units) break;
    f32 share = shared.whole[unit * 4 / dim].y;
    Pack<T, 4> out;
    out[0] = narrow<T>(total[u].x * share);
    out[1] = narrow<T>(total[u].y * share);
    out[2] = narrow<T>(total[u].z * share);
    out[3] = narrow<T>(total[u].w * share);
    *reinterpret_cast<Pack<T, 4> *>(y + u64(unit) * 4) = out;
  }
}

// `sums` and `stats` have `rows` rows of sums of weights and values for each part of each kv head, and (maximum, sum) of
// their weights; `arrived` has a counter of each kv head.
template <typename T, int R>
__device__ void decode(T *y, f32 *lse, f32 *sums, float2 *stats, u32 *arrived, const T *q, const T *k, const T *v,
                       const Attention &a, u32 lanes, u32 parts) {
  constexpr int N = PACK<T>;
  __shared__ Shared<R> shared;
  auto &weights = shared.weights;
  auto &of_warp = shared.of_warp;
  u32 part = blockIdx.x % parts, kv = blockIdx.x / parts, b = kv / kv_heads(a), kv_head = kv % kv_heads(a);
  u32 rows = a.group * a.queries;
  Sequence s(a, b);
  // Where no key is seen, the first block says so.
  i32 limit = s.limit(i32(a.queries) - 1);
  u32 active = limit > 0 ? (u32(limit) + CHUNK - 1) / CHUNK : 1;
  if (part >= active) return;
  i32 start = i32(part) * CHUNK, end = min(start + CHUNK, limit);
  y += u64(kv) * rows * a.dim;
  lse = lse ? lse + u64(kv) * rows : nullptr;
  const f32 *all_sums = sums + u64(kv) * parts * rows * a.dim;
  const float2 *all_stats = stats + u64(kv) * parts * rows;
  stats += u64(blockIdx.x) * rows;
  sums += u64(blockIdx.x) * rows * a.dim;
  u32 sub = threadIdx.x % lanes, bundle = threadIdx.x / lanes, bundles = THREADS / lanes, d = sub * N;
  bool inside = d < a.dim;
  k += b * a.k[0] + kv_head * a.k[1] + d;
  v += b * a.v[0] + kv_head * a.v[1] + d;
  // Packs of keys `bundle + (first + i) · bundles` of the chunk; what lies outside is 0.
  auto fetch = [&](Pack<T, N> (&packs)[AHEAD], const T *from, i64 down, u32 first) {
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
      u32 j = bundle + (first + i) * bundles;
      i32 key = start + i32(j);
#pragma unroll
      for (int e = 0; e < N; ++e) packs[i][e] = narrow<T>(0.0f);
      if (inside && j < CHUNK && key < end) packs[i] = *reinterpret_cast<const Pack<T, N> *>(from + key * down);
    }
  };
  // The values are on their way while the scores are made.
  Pack<T, N> keys[AHEAD], values[AHEAD];
  fetch(keys, k, a.k[2], 0);
  fetch(values, v, a.v[2], 0);
  f32 own[R][N];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    u32 row = min(u32(r), rows - 1);
    const T *from = q + b * a.q[0] + (kv_head * a.group + row / a.queries) * a.q[1] + row % a.queries * a.q[2] + d;
#pragma unroll
    for (int i = 0; i < N; ++i) own[r][i] = inside ? f32(widen(from[i])) * f32(a.scale) : 0.0f;
  }
  for (u32 first = 0; first * bundles < CHUNK; first += AHEAD) {
    if (first > 0) fetch(keys, k, a.k[2], first);
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
      // The same for all threads of a warp.
      u32 j = bundle + (first + i) * bundles;
      if (j >= CHUNK) break;
#pragma unroll
      for (int r = 0; r < R; ++r) {
        f32 score = 0;
#pragma unroll
        for (int e = 0; e < N; ++e) score += own[r][e] * f32(widen(keys[i][e]));
        for (u32 lane = lanes / 2; lane > 0; lane /= 2) score += __shfl_xor_sync(0xFFFFFFFFu, score, lane);
        if (sub == 0) weights[r][j] = score;
      }
    }
  }
  __syncthreads();
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  for (u32 r = warp; r < R && r < rows; r += WARPS) {
    i32 query = i32(r % a.queries), limit = min(end, s.limit(query)), document = s.document(query);
    f32 scores[CHUNK / WARP], most = -INFINITY, sum = 0;
#pragma unroll
    for (int i = 0; i < CHUNK / WARP; ++i) {
      i32 key = start + i * WARP + i32(lane);
      bool seen = key < limit && (!s.documents || s.documents[key] == document);
      scores[i] = seen ? weights[r][i * WARP + lane] : -INFINITY;
      most = fmaxf(most, scores[i]);
    }
    most = warp_all(most, Max{});
    // Nothing seen: −∞ − −∞ is no number.
    f32 reference = most == -INFINITY ? 0.0f : most;
#pragma unroll
    for (int i = 0; i < CHUNK / WARP; ++i) {
      f32 weight = expf(scores[i] - reference);
      weights[r][i * WARP + lane] = weight;
      sum += weight;
    }
    sum = warp_all(sum, Add{});
    if (lane == 0) stats[r] = make_float2(most, sum);
  }
  __syncthreads();
  f32 total[R][N];
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int i = 0; i < N; ++i) total[r][i] = 0;
  for (u32 first = 0; first * bundles < CHUNK; first += AHEAD) {
    if (first > 0) fetch(values, v, a.v[2], first);
#pragma unroll
    for (int i = 0; i < AHEAD; ++i) {
      u32 j = bundle + (first + i) * bundles;
      if (!inside || j >= CHUNK || start + i32(j) >= end) continue;
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (r >= rows) break;
        f32 weight = weights[r][j];
#pragma unroll
        for (int e = 0; e < N; ++e) total[r][e] += weight * f32(widen(values[i][e]));
      }
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int i = 0; i < N; ++i) {
      for (u32 other = lanes; other < WARP; other *= 2) total[r][i] += __shfl_xor_sync(0xFFFFFFFFu, total[r][i], other);
      if (lane < lanes && inside) of_warp[warp][r][d + i] = total[r][i];
    }
  __syncthreads();
  for (u32 i = threadIdx.x; i < rows * a.dim; i += THREADS) {
    u32 r = i / a.dim, c = i - r * a.dim;
    f32 sum = 0;
#pragma unroll
    for (int w = 0; w < WARPS; ++w) sum += of_warp[w][r][c];
    sums[i] = sum;
  }
  if (is_last(shared, arrived + kv, active))
    join<T, R>(y, lse, all_sums, all_stats, rows, a.dim, active, shared);
}

#define KERNEL(T, R)                                                                                                   \
  OVERLAPPING(, attention_decode_##R##_##T,                                                                            \
              (T * y, f32 *lse, f32 *sums, float2 *stats, u32 *arrived, const T *q, const T *k, const T *v,            \
               Attention a, u32 lanes, u32 parts),                                                                     \
              , decode<T, R>(y, lse, sums, stats, arrived, q, k, v, a, lanes, parts);)
#define KERNELS(T)                                                                                                     \
  KERNEL(T, 1)                                                                                                         \
  KERNEL(T, 4)                                                                                                         \
  KERNEL(T, 8)
KERNELS(f32)
KERNELS(bf16)
KERNELS(f16)
