// y = softmax(scale · q kᵀ) v for a few queries and many keys: generation.
//
// A block has 64 keys of a kv head and all queries that read them, up to R rows; so many blocks keep the chip busy
// whatever the batch, and the split depends on the number of keys alone. `combine` joins the parts of a row in order.
// Bandwidth bound: keys and values are read once, 16 bytes at a time.
#include "attention.cuh"

constexpr int CHUNK = 64, THREADS = 128, WARPS = THREADS / WARP, MOST_DIM = 256;

// `rows` rows of sums of weights and values for each part of each kv head, and (maximum, sum) of their weights.
template <typename T, int R>
__device__ void decode(f32 *sums, float2 *stats, const T *q, const T *k, const T *v, const Attention &a, u32 lanes,
                       u32 parts) {
  constexpr int N = PACK<T>;
  __shared__ f32 weights[R][CHUNK];
  __shared__ f32 of_warp[WARPS][R][MOST_DIM];
  u32 part = blockIdx.x % parts, kv = blockIdx.x / parts, b = kv / kv_heads(a), kv_head = kv % kv_heads(a);
  u32 rows = a.group * a.queries;
  Sequence s(a, b);
  i32 start = i32(part) * CHUNK, end = min(start + CHUNK, s.limit(i32(a.queries) - 1));
  stats += u64(blockIdx.x) * rows;
  sums += u64(blockIdx.x) * rows * a.dim;
  if (start >= end) {
    if (threadIdx.x < rows) stats[threadIdx.x] = make_float2(-INFINITY, 0);
    return;
  }
  u32 sub = threadIdx.x % lanes, bundle = threadIdx.x / lanes, bundles = THREADS / lanes, d = sub * N;
  bool inside = d < a.dim;
  k += b * a.k[0] + kv_head * a.k[1] + d;
  v += b * a.v[0] + kv_head * a.v[1] + d;
  f32 own[R][N];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    u32 row = min(u32(r), rows - 1), head = kv_head * a.group + row / a.queries;
    const T *from = q + b * a.q[0] + head * a.q[1] + row % a.queries * a.q[2] + d;
#pragma unroll
    for (int i = 0; i < N; ++i) own[r][i] = inside ? f32(widen(from[i])) * f32(a.scale) : 0.0f;
  }
#pragma unroll 4
  for (u32 j = bundle; j < CHUNK; j += bundles) {
    i32 key = start + i32(j);
    Pack<T, N> numbers;
#pragma unroll
    for (int i = 0; i < N; ++i) numbers[i] = narrow<T>(0.0f);
    if (inside && key < end) numbers = *reinterpret_cast<const Pack<T, N> *>(k + key * a.k[2]);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      f32 score = 0;
#pragma unroll
      for (int i = 0; i < N; ++i) score += own[r][i] * f32(widen(numbers[i]));
      for (u32 lane = lanes / 2; lane > 0; lane /= 2) score += __shfl_xor_sync(0xFFFFFFFFu, score, lane);
      if (sub == 0) weights[r][j] = score;
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
#pragma unroll 4
  for (u32 j = bundle; j < CHUNK; j += bundles) {
    i32 key = start + i32(j);
    if (!inside || key >= end) continue;
    auto numbers = *reinterpret_cast<const Pack<T, N> *>(v + key * a.v[2]);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (r >= rows) break;
      f32 weight = weights[r][j];
#pragma unroll
      for (int i = 0; i < N; ++i) total[r][i] += weight * f32(widen(numbers[i]));
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
}

// One block a row of y.
template <typename T>
__device__ void combine(T *y, f32 *lse, const f32 *sums, const float2 *stats, u32 rows, u32 dim, u32 parts) {
  u64 kv = blockIdx.x / rows;
  u32 r = blockIdx.x % rows;
  sums += (kv * parts * rows + r) * dim;
  stats += kv * parts * rows + r;
  f32 most = -INFINITY, sum = 0;
  for (u32 p = 0; p < parts; ++p) most = fmaxf(most, stats[u64(p) * rows].x);
  f32 reference = most == -INFINITY ? 0.0f : most;
  for (u32 p = 0; p < parts; ++p) sum += expf(stats[u64(p) * rows].x - reference) * stats[u64(p) * rows].y;
  f32 share = sum == 0 ? 0.0f : 1 / sum;
  for (u32 d = threadIdx.x; d < dim; d += blockDim.x) {
    f32 total = 0;
    for (u32 p = 0; p < parts; ++p) {
      float2 own = stats[u64(p) * rows];
      // Parts in which nothing is seen have no sums.
      if (own.y != 0) total += expf(own.x - reference) * sums[u64(p) * rows * dim + d];
    }
    y[u64(blockIdx.x) * dim + d] = narrow<T>(total * share);
  }
  if (lse && threadIdx.x == 0) lse[blockIdx.x] = most + logf(sum);
}

#define KERNEL(T, R)                                                                                                   \
  extern "C" __global__ void attention_decode_##R##_##T(f32 *sums, float2 *stats, const T *q, const T *k, const T *v,  \
                                                        Attention a, u32 lanes, u32 parts) {                           \
    decode<T, R>(sums, stats, q, k, v, a, lanes, parts);                                                               \
  }
#define KERNELS(T)                                                                                                     \
  KERNEL(T, 1)                                                                                                         \
  KERNEL(T, 4)                                                                                                         \
  KERNEL(T, 8)                                                                                                         \
  extern "C" __global__ void attention_combine_##T(T *y, f32 *lse, const f32 *sums, const float2 *stats, u32 rows,     \
                                                   u32 dim, u32 parts) {                                               \
    combine<T>(y, lse, sums, stats, rows, dim, parts);                                                                 \
  }
KERNELS(f32)
KERNELS(bf16)
KERNELS(f16)
