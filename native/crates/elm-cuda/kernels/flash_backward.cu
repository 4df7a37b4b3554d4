// The gradient of attention in half precision on tensor cores, for heads of 64 or 128: with P = exp(scale · q kᵀ − lse)
// and S = P · (grad vᵀ − delta), dv = Pᵀ grad, dk = scale · Sᵀ q and dq = scale · S k.
//
// Two kernels, so that every sum has one owner and a fixed order: `keys` has 128 keys of a kv head and walks over all
// queries that see them, `queries` has 128 queries and walks over their keys. Both make P and S anew, in the layout in
// which the next product takes them from registers: `keys` turned, `queries` straight. What is walked over comes 64 rows
// at a time, the next ones while these are multiplied. Bound by the tensor cores.
#include "attention.cuh"
#include "mma.cuh"

constexpr int OWN = 128, STEP = 64;
constexpr f32 LOG2E = 1.4426950408889634f;

// Warps of a block, and 16-row tiles of each: with two, a fragment of the other side serves two products, but for heads
// of 128 their sums do not fit into the registers.
template <int D> constexpr int TILES = D == 64 ? 2 : 1;
template <int D> constexpr int THREADS = OWN / 16 / TILES<D> * WARP;
// Columns of P and S at a time.
template <int D> constexpr int COLUMNS = D == 64 ? 32 : 64;

template <int M, int N> __device__ __forceinline__ void clear(f32 (&c)[M][N][4]) {
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) c[m][n][i] = 0;
}

// c = a · bᵀ for rows `row` … of a and rows `column` … of b.
template <typename T, int D, int M, int N>
__device__ __forceinline__ void turned_product(f32 (&c)[M][N][4], const Tile<D> &a, u32 row, const Tile<D> &b, u32 column) {
  clear(c);
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    u32 left[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) a.left(left[m], row + m * 16, k);
#pragma unroll
    for (int n = 0; n < N / 2; ++n) {
      u32 right[4];
      b.right_turned(right, column + n * 16, k);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma(T{}, c[m][2 * n], left[m], right[0], right[1]);
        mma(T{}, c[m][2 * n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

// c += a · b for rows `row` … of b, a in registers.
template <typename T, int D, int M, int N>
__device__ __forceinline__ void add_product(f32 (&c)[M][D / 8][4], const f32 (&a)[M][N][4], const Tile<D> &b, u32 row) {
#pragma unroll
  for (int k = 0; k < N / 2; ++k) {
    u32 left[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) as_left<T>(left[m], a[m][2 * k], a[m][2 * k + 1]);
#pragma unroll
    for (int n = 0; n < D / 16; ++n) {
      u32 right[4];
      b.right(right, row + k * 16, n);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma(T{}, c[m][2 * n], left[m], right[0], right[1]);
        mma(T{}, c[m][2 * n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

// Rows row + 16m + g + 8i of sums, up to `rows`, times `factor`.
template <typename T, int D, int M>
__device__ __forceinline__ void store(T *to, const f32 (&sums)[M][D / 8][4], i32 row, i32 rows, f32 factor) {
  u32 lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      i32 at = row + m * 16 + i * 8 + i32(g);
      if (at >= rows) continue;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        u32 both = pack2(T{}, sums[m][n][i * 2] * factor, sums[m][n][i * 2 + 1] * factor);
        *reinterpret_cast<u32 *>(to + i64(at) * D + n * 8 + t * 2) = both;
      }
    }
}

template <typename T, int D>
__device__ __forceinline__ void keys(T *dk, T *dv, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,
                                     const f32 *delta, const Attention &a) {
  constexpr int M = TILES<D>, N = COLUMNS<D> / 8, THREAD_COUNT = THREADS<D>;
  extern __shared__ __align__(16) unsigned char memory[];
  u32 start = shared_address(memory), bytes = STEP * D * 2;
  Tile<D> k_tile{start}, v_tile{start + OWN * D * 2};
  u32 stages = v_tile.start + OWN * D * 2;
  const f32 *rows = reinterpret_cast<const f32 *>(memory + (stages - start) + 4 * bytes);
  auto q_tile = [&](u32 stage) { return Tile<D>{stages + stage * 2 * bytes}; };
  auto grad_tile = [&](u32 stage) { return Tile<D>{stages + stage * 2 * bytes + bytes}; };
  u32 blocks = (a.keys + OWN - 1) / OWN, heads = gridDim.x / blocks, head = blockIdx.x % heads;
  // The first keys are seen by the most queries, and come first.
  i32 begin = i32(blockIdx.x / heads) * OWN;
  u32 b = head / kv_heads(a), kv_head = head % kv_heads(a);
  Sequence s(a, b);
  k += b * a.k[0] + kv_head * a.k[1] + begin * a.k[2];
  v += b * a.v[0] + kv_head * a.v[1] + begin * a.v[2];
  k_tile.template load<OWN, THREAD_COUNT>(k, a.k[2], s.length - begin);
  v_tile.template load<OWN, THREAD_COUNT>(v, a.v[2], s.length - begin);
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, g = lane / 4, t = lane % 4;
  i32 own_row = i32(warp) * 16 * M, first = s.first_query(begin) / STEP * STEP;
  auto met = [&](i32 query) {
    i32 last = min(query + STEP, s.queries) - 1;
    int2 theirs = s.documents ? s.range(s.position(query), s.position(last)) : make_int2(0, 0);
    return meeting(s, query, last, theirs, begin, OWN);
  };
  // The next queries of a head of the group that see some key.
  auto next = [&](u32 &h, i32 &query) {
    for (; h < a.group; ++h, query = first)
      for (; query < s.queries; query += STEP)
        if (met(query) != Meeting::NONE) return;
  };
  auto load = [&](u32 stage, u32 h, i32 query) {
    u32 own = kv_head * a.group + h;
    i32 real = s.queries - query;
    q_tile(stage).template load<STEP, THREAD_COUNT>(q + b * a.q[0] + own * a.q[1] + query * a.q[2], a.q[2], real);
    grad_tile(stage).template load<STEP, THREAD_COUNT>(grad + b * a.grad[0] + own * a.grad[1] + query * a.grad[2],
                                                       a.grad[2], real);
    if (threadIdx.x < 2 * STEP) {
      i32 row = i32(threadIdx.x % STEP);
      bool exists = row < real;
      u64 at = (u64(b) * a.heads + own) * a.queries + query + (exists ? row : 0);
      const f32 *from = (threadIdx.x < STEP ? lse : delta) + at;
      copy4(shared_address(rows + stage * 2 * STEP + threadIdx.x), from, exists);
    }
  };
  f32 sums_k[M][D / 8][4], sums_v[M][D / 8][4], factor = f32(a.scale) * LOG2E;
  clear(sums_k);
  clear(sums_v);
  u32 h = 0, stage = 0;
  i32 query = first;
  next(h, query);
  if (h < a.group) load(0, h, query);
  while (h < a.group) {
    copies_wait();
    // This stage is there, and nobody reads the other one any more.
    __syncthreads();
    u32 next_h = h;
    i32 next_query = query + STEP;
    next(next_h, next_query);
    if (next_h < a.group) load(stage ^ 1, next_h, next_query);
    bool all = met(query) == Meeting::ALL;
#pragma unroll 1
    for (int part = 0; part < STEP / COLUMNS<D>; ++part) {
      u32 column = part * COLUMNS<D>;
      const f32 *own_lse = rows + stage * 2 * STEP + column, *own_delta = own_lse + STEP;
      f32 weights[M][N][4], dots[M][N][4];
      turned_product<T, D, M, N>(weights, k_tile, own_row, q_tile(stage), column);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          u32 c = n * 8 + t * 2 + e;
          f32 less = own_lse[c] * LOG2E;
          i32 at = query + i32(column + c);
          i32 limit = 0, document = 0;
          if (!all && at < s.queries) {
            limit = s.limit(at);
            document = s.document(at);
          }
#pragma unroll
          for (int m = 0; m < M; ++m)
#pragma unroll
            for (int i = 0; i < 2; ++i) {
              f32 weight = power2(fmaf(weights[m][n][i * 2 + e], factor, -less));
              if (!all) {
                i32 j = begin + own_row + m * 16 + i * 8 + i32(g);
                bool seen = j < limit && (!s.documents || s.documents[j] == document);
                weight = seen ? weight : 0.0f;
              }
              weights[m][n][i * 2 + e] = weight;
            }
        }
      turned_product<T, D, M, N>(dots, v_tile, own_row, grad_tile(stage), column);
      add_product<T, D, M, N>(sums_v, weights, grad_tile(stage), column);
#pragma unroll
      for (int n = 0; n < N; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          f32 less = own_delta[n * 8 + t * 2 + e];
#pragma unroll
          for (int m = 0; m < M; ++m)
#pragma unroll
            for (int i = 0; i < 2; ++i) dots[m][n][i * 2 + e] = weights[m][n][i * 2 + e] * (dots[m][n][i * 2 + e] - less);
        }
      add_product<T, D, M, N>(sums_k, dots, q_tile(stage), column);
    }
    stage ^= 1;
    h = next_h;
    query = next_query;
  }
  copies_wait();
  u64 to = (u64(head) * a.keys + begin) * D;
  i32 count = i32(a.keys) - begin;
  if (dk) store<T, D, M>(dk + to, sums_k, own_row, count, f32(a.scale));
  if (dv) store<T, D, M>(dv + to, sums_v, own_row, count, 1.0f);
}

template <typename T, int D>
__device__ __forceinline__ void queries(T *dq, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,
                                        const f32 *delta, const Attention &a) {
  constexpr int M = TILES<D>, N = COLUMNS<D> / 8, THREAD_COUNT = THREADS<D>;
  extern __shared__ __align__(16) unsigned char memory[];
  u32 start = shared_address(memory), bytes = STEP * D * 2;
  Tile<D> q_tile{start}, grad_tile{start + OWN * D * 2};
  u32 stages = grad_tile.start + OWN * D * 2;
  auto k_tile = [&](u32 stage) { return Tile<D>{stages + stage * 2 * bytes}; };
  auto v_tile = [&](u32 stage) { return Tile<D>{stages + stage * 2 * bytes + bytes}; };
  u32 blocks = (a.queries + OWN - 1) / OWN, heads = gridDim.x / blocks, head = blockIdx.x % heads;
  // The last queries see the most keys, and come first.
  i32 begin = i32(blocks - 1 - blockIdx.x / heads) * OWN, last = min(begin + OWN, i32(a.queries)) - 1;
  u32 b = head / a.heads, h = head % a.heads;
  Sequence s(a, b);
  q_tile.template load<OWN, THREAD_COUNT>(q + b * a.q[0] + h * a.q[1] + begin * a.q[2], a.q[2], s.queries - begin);
  grad_tile.template load<OWN, THREAD_COUNT>(grad + b * a.grad[0] + h * a.grad[1] + begin * a.grad[2], a.grad[2],
                                             s.queries - begin);
  k += b * a.k[0] + h / a.group * a.k[1];
  v += b * a.v[0] + h / a.group * a.v[1];
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, g = lane / 4, t = lane % 4;
  i32 own_row = i32(warp) * 16 * M, end = s.limit(last);
  int2 own = s.documents ? s.range(s.position(begin), s.position(last)) : make_int2(0, 0);
  auto next = [&](i32 key) {
    while (key < end && meeting(s, begin, last, own, key, STEP) == Meeting::NONE) key += STEP;
    return key;
  };
  auto load = [&](u32 stage, i32 key) {
    k_tile(stage).template load<STEP, THREAD_COUNT>(k + key * a.k[2], a.k[2], s.length - key);
    v_tile(stage).template load<STEP, THREAD_COUNT>(v + key * a.v[2], a.v[2], s.length - key);
  };
  // Of rows own_row + 16m + g + 8i; rows that do not exist have weights of queries and gradients that are zeros.
  f32 less[M][2], dot[M][2];
  u64 first_row = u64(head) * a.queries;
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      i32 query = begin + own_row + m * 16 + i * 8 + i32(g);
      less[m][i] = query <= last ? lse[first_row + query] * LOG2E : 0.0f;
      dot[m][i] = query <= last ? delta[first_row + query] : 0.0f;
    }
  f32 sums[M][D / 8][4], factor = f32(a.scale) * LOG2E;
  clear(sums);
  u32 stage = 0;
  i32 key = next(0);
  if (key < end) load(0, key);
  while (key < end) {
    copies_wait();
    // This stage is there, and nobody reads the other one any more.
    __syncthreads();
    i32 following = next(key + STEP);
    if (following < end) load(stage ^ 1, following);
    bool all = meeting(s, begin, last, own, key, STEP) == Meeting::ALL;
#pragma unroll 1
    for (int part = 0; part < STEP / COLUMNS<D>; ++part) {
      u32 column = part * COLUMNS<D>;
      f32 weights[M][N][4], dots[M][N][4];
      turned_product<T, D, M, N>(weights, q_tile, own_row, k_tile(stage), column);
      turned_product<T, D, M, N>(dots, grad_tile, own_row, v_tile(stage), column);
#pragma unroll
      for (int m = 0; m < M; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          i32 query = begin + own_row + m * 16 + i * 8 + i32(g), limit = 0, document = 0;
          if (!all && query <= last) {
            limit = s.limit(query);
            document = s.document(query);
          }
#pragma unroll
          for (int n = 0; n < N; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              f32 weight = power2(fmaf(weights[m][n][i * 2 + e], factor, -less[m][i]));
              if (!all) {
                i32 j = key + i32(column) + n * 8 + i32(t) * 2 + e;
                bool seen = j < limit && (!s.documents || s.documents[j] == document);
                weight = seen ? weight : 0.0f;
              }
              dots[m][n][i * 2 + e] = weight * (dots[m][n][i * 2 + e] - dot[m][i]);
            }
        }
      add_product<T, D, M, N>(sums, dots, k_tile(stage), column);
    }
    stage ^= 1;
    key = following;
  }
  copies_wait();
  store<T, D, M>(dq + (first_row + begin) * D, sums, own_row, i32(a.queries) - begin, f32(a.scale));
}

#define KERNELS(T, D)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(THREADS<D>, D == 64 ? 2 : 1)                                            \
      flash_keys_##D##_##T(T *dk, T *dv, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,            \
                           const f32 *delta, Attention a) {                                                            \
    keys<T, D>(dk, dv, grad, q, k, v, lse, delta, a);                                                                  \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(THREADS<D>, D == 64 ? 2 : 1)                                            \
      flash_queries_##D##_##T(T *dq, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,                \
                              const f32 *delta, Attention a) {                                                         \
    queries<T, D>(dq, grad, q, k, v, lse, delta, a);                                                                   \
  }
KERNELS(bf16, 64)
KERNELS(f16, 64)
KERNELS(bf16, 128)
KERNELS(f16, 128)
