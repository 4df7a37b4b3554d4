// y = softmax(scale · q kᵀ) v in half precision on tensor cores, for heads of 64 or 128 (Dao, 2023, arXiv:2307.08691).
//
// A block has 128 queries of one head, four warps with 32 rows each: a fragment of k or v serves two products, so shared
// memory keeps up with the tensor cores. Keys come 64 at a time; while scores are made the values arrive, and while
// values are summed the next keys do. Scores, their running maximum and sum and the sums of y stay in registers.
// Bound by the tensor cores.
#include "attention.cuh"
#include "mma.cuh"

constexpr int QUERIES = 128, KEYS = 64, THREADS = 128;
// 16-row tiles of a warp.
constexpr int TILES = 2;
constexpr f32 LOG2E = 1.4426950408889634f;

template <typename T, int D>
__device__ __forceinline__ void forward(T *y, f32 *lse, const T *q, const T *k, const T *v, const Attention &a) {
  extern __shared__ __align__(16) unsigned char memory[];
  Tile<D> q_tile{shared_address(memory)}, k_tile{q_tile.start + QUERIES * D * 2}, v_tile{k_tile.start + KEYS * D * 2};
  u32 blocks = (a.queries + QUERIES - 1) / QUERIES, heads = gridDim.x / blocks;
  // The last queries see the most keys: first come the long blocks. Heads that share keys are neighbours.
  u32 head = blockIdx.x % heads, b = head / a.heads, h = head % a.heads;
  i32 begin = i32(blocks - 1 - blockIdx.x / heads) * QUERIES, last = min(begin + QUERIES, i32(a.queries)) - 1;
  Sequence s(a, b);
  q += b * a.q[0] + h * a.q[1] + begin * a.q[2];
  k += b * a.k[0] + h / a.group * a.k[1];
  v += b * a.v[0] + h / a.group * a.v[1];
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, g = lane / 4, t = lane % 4;
  int2 own = s.documents ? s.range(s.position(begin), s.position(last)) : make_int2(0, 0);
  i32 end = s.limit(last);
  // The next block of keys that some query sees.
  auto next = [&](i32 key) {
    while (key < end && meeting(s, begin, last, own, key, KEYS) == Meeting::NONE) key += KEYS;
    return key;
  };
  // Keys behind the length may hold anything, and 0 · NaN is no zero.
  auto load = [&](const Tile<D> &tile, const T *from, i64 step, i32 key) {
    tile.template load<KEYS, THREADS>(from + key * step, step, s.length - key);
  };
  i32 key = next(0);
  q_tile.template load<QUERIES, THREADS>(q, a.q[2], i32(a.queries) - begin);
  if (key < end) load(k_tile, k, a.k[2], key);
  f32 sums[TILES][D / 8][4], most[TILES][2], total[TILES][2];
#pragma unroll
  for (int m = 0; m < TILES; ++m) {
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[m][n][i] = 0;
#pragma unroll
    for (int i = 0; i < 2; ++i) most[m][i] = -INFINITY, total[m][i] = 0;
  }
  // Row 16m + g + 8i of the warp.
  i32 row = begin + i32(warp) * 16 * TILES + i32(g);
  f32 factor = f32(a.scale) * LOG2E;
  while (key < end) {
    copies_wait();
    // The keys are there, and nobody reads the last values any more.
    __syncthreads();
    load(v_tile, v, a.v[2], key);
    f32 scores[TILES][KEYS / 8][4];
#pragma unroll
    for (int m = 0; m < TILES; ++m)
#pragma unroll
      for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[m][n][i] = 0;
#pragma unroll
    for (int c = 0; c < D / 16; ++c) {
      u32 left[TILES][4];
#pragma unroll
      for (int m = 0; m < TILES; ++m) q_tile.left(left[m], (warp * TILES + m) * 16, c);
#pragma unroll
      for (int n = 0; n < KEYS / 16; ++n) {
        u32 right[4];
        k_tile.right_turned(right, n * 16, c);
#pragma unroll
        for (int m = 0; m < TILES; ++m) {
          mma(T{}, scores[m][2 * n], left[m], right[0], right[1]);
          mma(T{}, scores[m][2 * n + 1], left[m], right[2], right[3]);
        }
      }
    }
    if (meeting(s, begin, last, own, key, KEYS) != Meeting::ALL) {
#pragma unroll
      for (int m = 0; m < TILES; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          i32 query = row + m * 16 + i * 8;
          i32 limit = query <= last ? s.limit(query) : 0, document = query <= last ? s.document(query) : 0;
#pragma unroll
          for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              i32 j = key + n * 8 + i32(t) * 2 + e;
              bool seen = j < limit && (!s.documents || s.documents[j] == document);
              if (!seen) scores[m][n][i * 2 + e] = -INFINITY;
            }
        }
    }
#pragma unroll
    for (int m = 0; m < TILES; ++m)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        f32 high = most[m][i];
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n) high = fmaxf(high, fmaxf(scores[m][n][i * 2], scores[m][n][i * 2 + 1]));
        high = fmaxf(high, __shfl_xor_sync(0xFFFFFFFFu, high, 1));
        high = fmaxf(high, __shfl_xor_sync(0xFFFFFFFFu, high, 2));
        // Nothing seen yet: −∞ − −∞ is no number.
        f32 reference = high == -INFINITY ? 0.0f : high * factor;
        f32 less = power2(most[m][i] * factor - reference), sum = 0;
        most[m][i] = high;
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            f32 weight = power2(fmaf(scores[m][n][i * 2 + e], factor, -reference));
            scores[m][n][i * 2 + e] = weight;
            sum += weight;
          }
        // The four lanes of a row are added at the end.
        total[m][i] = total[m][i] * less + sum;
#pragma unroll
        for (int n = 0; n < D / 8; ++n) {
          sums[m][n][i * 2] *= less;
          sums[m][n][i * 2 + 1] *= less;
        }
      }
    copies_wait();
    // The values are there, and nobody reads these keys any more.
    __syncthreads();
    i32 following = next(key + KEYS);
    if (following < end) load(k_tile, k, a.k[2], following);
#pragma unroll
    for (int c = 0; c < KEYS / 16; ++c) {
      u32 left[TILES][4];
#pragma unroll
      for (int m = 0; m < TILES; ++m) as_left<T>(left[m], scores[m][2 * c], scores[m][2 * c + 1]);
#pragma unroll
      for (int n = 0; n < D / 16; ++n) {
        u32 right[4];
        v_tile.right(right, c * 16, n);
#pragma unroll
        for (int m = 0; m < TILES; ++m) {
          mma(T{}, sums[m][2 * n], left[m], right[0], right[1]);
          mma(T{}, sums[m][2 * n + 1], left[m], right[2], right[3]);
        }
      }
    }
    key = following;
  }
  copies_wait();
  u64 first_row = u64(head) * a.queries;
#pragma unroll
  for (int m = 0; m < TILES; ++m)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      f32 sum = total[m][i];
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
      i32 query = row + m * 16 + i * 8;
      if (query > last) continue;
      f32 share = sum == 0 ? 0.0f : 1 / sum;
      if (lse && t == 0) lse[first_row + query] = sum == 0 ? -INFINITY : most[m][i] * f32(a.scale) + logf(sum);
      T *to = y + (first_row + query) * D;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        u32 both = pack2(T{}, sums[m][n][i * 2] * share, sums[m][n][i * 2 + 1] * share);
        *reinterpret_cast<u32 *>(to + n * 8 + t * 2) = both;
      }
    }
}

// Two blocks a multiprocessor: one multiplies while the other weighs.
#define KERNEL(T, D)                                                                                                   \
  extern "C" __global__ void __launch_bounds__(THREADS, 2)                                                             \
      flash_forward_##D##_##T(T *y, f32 *lse, const T *q, const T *k, const T *v, Attention a) {                       \
    forward<T, D>(y, lse, q, k, v, a);                                                                                 \
  }
KERNEL(bf16, 64)
KERNEL(f16, 64)
KERNEL(bf16, 128)
KERNEL(f16, 128)
