// y = softmax(scale · q kᵀ) v and its gradient for every dtype and any size of a head, without holding the scores.
//
// A block has up to 16 rows of the list of all queries of one kv head (head by head) and walks over the keys 32 at a
// time, with a running maximum and sum of each row (Milakov and Gimelshein, 2018). Sums of y are kept in shared memory.
// Bound by shared memory and arithmetic: the fast paths are `flash_*.cu`.
#include "attention.cuh"

constexpr int ROWS = 16, KEYS = 32, THREADS = 128, PART = 32;

__device__ __forceinline__ f32 exponential(f32 x) { return expf(x); }
__device__ __forceinline__ f64 exponential(f64 x) { return exp(x); }
__device__ __forceinline__ f32 logarithm(f32 x) { return logf(x); }
__device__ __forceinline__ f64 logarithm(f64 x) { return log(x); }

// Scores of the block's rows and keys: sums[r] of row 4 · (thread / 32) + r and key thread % 32.
// `row_at(r)` and `key_at(j)` lead to their components, null where there is none.
template <typename T, typename R, typename K>
__device__ __forceinline__ void products(Acc<T> (&sums)[4], u32 dim, R row_at, K key_at) {
  using A = Acc<T>;
  __shared__ A left[ROWS][PART + 1], right[KEYS][PART + 1];
  u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int r = 0; r < 4; ++r) sums[r] = 0;
  for (u32 start = 0; start < dim; start += PART) {
    u32 d = start + lane;
    __syncthreads();
    for (u32 r = warp; r < ROWS; r += THREADS / 32) {
      const T *from = row_at(r);
      left[r][lane] = from && d < dim ? A(widen(from[d])) : A(0);
    }
    for (u32 j = warp; j < KEYS; j += THREADS / 32) {
      const T *from = key_at(j);
      right[j][lane] = from && d < dim ? A(widen(from[d])) : A(0);
    }
    __syncthreads();
#pragma unroll 8
    for (int i = 0; i < PART; ++i) {
      A value = right[lane][i];
#pragma unroll
      for (int r = 0; r < 4; ++r) sums[r] += left[warp * 4 + r][i] * value;
    }
  }
}

template <typename T>
__device__ void forward(T *y, Acc<T> *lse, const T *q, const T *k, const T *v, const Attention &a, u32 rows) {
  using A = Acc<T>;
  extern __shared__ __align__(16) unsigned char memory[];
  A *sums = reinterpret_cast<A *>(memory);
  __shared__ A weights[ROWS][KEYS + 1], shrink[ROWS], total[ROWS];
  __shared__ i32 limit[ROWS], document[ROWS];
  u32 all = a.group * a.queries, blocks = (all + rows - 1) / rows, kv = blockIdx.x / blocks;
  u32 b = kv / kv_heads(a), kv_head = kv % kv_heads(a);
  Sequence s(a, b);
  // The last block sees the most keys: first come the long ones.
  u32 begin = (blocks - 1 - blockIdx.x % blocks) * rows, count = min(rows, all - begin);
  u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const T *key = k + b * a.k[0] + kv_head * a.k[1], *value = v + b * a.v[0] + kv_head * a.v[1];
  if (threadIdx.x < ROWS) {
    u32 query = (begin + threadIdx.x) % a.queries;
    limit[threadIdx.x] = threadIdx.x < count ? s.limit(i32(query)) : 0;
    document[threadIdx.x] = threadIdx.x < count ? s.document(i32(query)) : 0;
  }
  for (u32 i = threadIdx.x; i < rows * a.dim; i += THREADS) sums[i] = 0;
  __syncthreads();
  i32 end = 0;
  for (u32 r = 0; r < count; ++r) end = max(end, limit[r]);
  auto row_at = [&](u32 r) -> const T * {
    if (r >= count) return nullptr;
    u32 row = begin + r;
    return q + b * a.q[0] + (kv_head * a.group + row / a.queries) * a.q[1] + row % a.queries * a.q[2];
  };
  // Lane j of warp w keeps the running maximum and sum of rows 4w + r, the same in all lanes.
  A most[4], sum[4];
#pragma unroll
  for (int r = 0; r < 4; ++r) most[r] = -INFINITY, sum[r] = 0;
  for (i32 start = 0; start < end; start += KEYS) {
    i32 j = start + i32(lane);
    A scores[4];
    products<T>(scores, a.dim, row_at, [&](u32 at) -> const T * {
      return start + i32(at) < end ? key + (start + i32(at)) * a.k[2] : nullptr;
    });
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      u32 row = warp * 4 + r;
      bool seen = j < limit[row] && (!s.documents || s.documents[j] == document[row]);
      A score = seen ? scores[r] * A(a.scale) : A(-INFINITY);
      A next = max(most[r], warp_all(score, Max{}));
      // Nothing seen yet: −∞ − −∞ is no number.
      A reference = next == A(-INFINITY) ? A(0) : next;
      A weight = exponential(score - reference), less = exponential(most[r] - reference);
      sum[r] = sum[r] * less + warp_all(weight, Add{});
      most[r] = next;
      weights[row][lane] = weight;
      if (lane == 0) shrink[row] = less;
    }
    __syncthreads();
    for (u32 d = threadIdx.x; d < a.dim; d += THREADS) {
      A own[ROWS];
#pragma unroll
      for (int r = 0; r < ROWS; ++r) own[r] = r < count ? sums[r * a.dim + d] * shrink[r] : A(0);
      for (i32 at = 0; at < KEYS && start + at < end; ++at) {
        A number = widen(value[(start + at) * a.v[2] + d]);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) own[r] += weights[r][at] * number;
      }
#pragma unroll
      for (int r = 0; r < ROWS; ++r)
        if (r < count) sums[r * a.dim + d] = own[r];
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    u32 row = warp * 4 + r;
    if (lane != 0 || row >= count) continue;
    total[row] = sum[r] == A(0) ? A(0) : A(1) / sum[r];
    if (lse) lse[u64(kv) * all + begin + row] = most[r] + logarithm(sum[r]);
  }
  __syncthreads();
  T *to = y + (u64(kv) * all + begin) * a.dim;
  for (u32 i = threadIdx.x; i < count * a.dim; i += THREADS) to[i] = narrow<T>(sums[i] * total[i / a.dim]);
}

// delta = Σ_dim grad · y, a warp a row.
template <typename T> __device__ void delta(Acc<T> *out, const T *grad, const T *y, const Attention &a, u64 rows) {
  using A = Acc<T>;
  u64 row = first() / WARP;
  if (row >= rows) return;
  u64 head = row / a.queries;
  u32 query = u32(row - head * a.queries), b = u32(head / a.heads), h = u32(head - u64(b) * a.heads);
  grad += b * a.grad[0] + h * a.grad[1] + query * a.grad[2];
  y += b * a.y[0] + h * a.y[1] + query * a.y[2];
  A sum = 0;
  for (u32 d = threadIdx.x % WARP; d < a.dim; d += WARP) sum += A(widen(grad[d])) * A(widen(y[d]));
  sum = warp_all(sum, Add{});
  if (threadIdx.x % WARP == 0) out[row] = sum;
}

// dq of up to 16 rows: S = P · (grad vᵀ − delta), dq = scale · S k. Blocks as in `forward`.
template <typename T>
__device__ void backward_q(T *dq, const T *grad, const T *q, const T *k, const T *v, const Acc<T> *lse,
                           const Acc<T> *delta, const Attention &a, u32 rows) {
  using A = Acc<T>;
  extern __shared__ __align__(16) unsigned char memory[];
  A *sums = reinterpret_cast<A *>(memory);
  __shared__ A weights[ROWS][KEYS + 1];
  __shared__ i32 limit[ROWS], document[ROWS];
  u32 all = a.group * a.queries, blocks = (all + rows - 1) / rows, kv = blockIdx.x / blocks;
  u32 b = kv / kv_heads(a), kv_head = kv % kv_heads(a);
  Sequence s(a, b);
  u32 begin = (blocks - 1 - blockIdx.x % blocks) * rows, count = min(rows, all - begin);
  u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const T *key = k + b * a.k[0] + kv_head * a.k[1], *value = v + b * a.v[0] + kv_head * a.v[1];
  if (threadIdx.x < ROWS) {
    u32 query = (begin + threadIdx.x) % a.queries;
    limit[threadIdx.x] = threadIdx.x < count ? s.limit(i32(query)) : 0;
    document[threadIdx.x] = threadIdx.x < count ? s.document(i32(query)) : 0;
  }
  for (u32 i = threadIdx.x; i < rows * a.dim; i += THREADS) sums[i] = 0;
  __syncthreads();
  i32 end = 0;
  for (u32 r = 0; r < count; ++r) end = max(end, limit[r]);
  auto row_of = [&](const T *x, const i64(&steps)[3], u32 r) -> const T * {
    if (r >= count) return nullptr;
    u32 row = begin + r;
    return x + b * steps[0] + (kv_head * a.group + row / a.queries) * steps[1] + row % a.queries * steps[2];
  };
  for (i32 start = 0; start < end; start += KEYS) {
    i32 j = start + i32(lane);
    A scores[4], dots[4];
    auto at = [&](const T *x, i64 step, u32 i) { return start + i32(i) < end ? x + (start + i32(i)) * step : nullptr; };
    products<T>(
        scores, a.dim, [&](u32 r) { return row_of(q, a.q, r); }, [&](u32 i) { return at(key, a.k[2], i); });
    products<T>(
        dots, a.dim, [&](u32 r) { return row_of(grad, a.grad, r); }, [&](u32 i) { return at(value, a.v[2], i); });
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      u32 row = warp * 4 + r;
      bool seen = j < limit[row] && (!s.documents || s.documents[j] == document[row]);
      u64 own = u64(kv) * all + begin + row;
      weights[row][lane] =
          seen ? exponential(scores[r] * A(a.scale) - lse[own]) * (dots[r] - delta[own]) : A(0);
    }
    __syncthreads();
    for (u32 d = threadIdx.x; d < a.dim; d += THREADS) {
      A own[ROWS];
#pragma unroll
      for (int r = 0; r < ROWS; ++r) own[r] = r < count ? sums[r * a.dim + d] : A(0);
      for (i32 i = 0; i < KEYS && start + i < end; ++i) {
        A number = widen(key[(start + i) * a.k[2] + d]);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) own[r] += weights[r][i] * number;
      }
#pragma unroll
      for (int r = 0; r < ROWS; ++r)
        if (r < count) sums[r * a.dim + d] = own[r];
    }
    __syncthreads();
  }
  T *to = dq + (u64(kv) * all + begin) * a.dim;
  for (u32 i = threadIdx.x; i < count * a.dim; i += THREADS) to[i] = narrow<T>(sums[i] * A(a.scale));
}

// dk and dv of up to 16 keys (`rows` here): the queries of all heads that share them, 32 at a time.
template <typename T>
__device__ void backward_kv(T *dk, T *dv, const T *grad, const T *q, const T *k, const T *v, const Acc<T> *lse,
                            const Acc<T> *delta, const Attention &a, u32 rows) {
  using A = Acc<T>;
  extern __shared__ __align__(16) unsigned char memory[];
  A *sums_k = reinterpret_cast<A *>(memory), *sums_v = sums_k + rows * a.dim;
  __shared__ A weights[2][ROWS][KEYS + 1];
  u32 blocks = (a.keys + rows - 1) / rows, kv = blockIdx.x / blocks, begin = blockIdx.x % blocks * rows;
  u32 b = kv / kv_heads(a), kv_head = kv % kv_heads(a), count = min(rows, a.keys - begin);
  Sequence s(a, b);
  u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const T *key = k + b * a.k[0] + kv_head * a.k[1], *value = v + b * a.v[0] + kv_head * a.v[1];
  for (u32 i = threadIdx.x; i < 2 * rows * a.dim; i += THREADS) sums_k[i] = 0;
  __syncthreads();
  i32 from = i32(begin) < s.length ? s.first_query(i32(begin)) : i32(a.queries);
  for (u32 h = kv_head * a.group; h < (kv_head + 1) * a.group; ++h) {
    const T *query = q + b * a.q[0] + h * a.q[1], *gradient = grad + b * a.grad[0] + h * a.grad[1];
    const A *own_lse = lse + (u64(b) * a.heads + h) * a.queries, *own_delta = delta + (u64(b) * a.heads + h) * a.queries;
    for (i32 start = from; start < i32(a.queries); start += KEYS) {
      i32 i = start + i32(lane), end = i32(a.queries);
      A scores[4], dots[4];
      auto row_at = [&](const T *x, i64 step, u32 r) { return r < count ? x + i64(begin + r) * step : nullptr; };
      auto at = [&](const T *x, i64 step, u32 n) { return start + i32(n) < end ? x + (start + i32(n)) * step : nullptr; };
      products<T>(
          scores, a.dim, [&](u32 r) { return row_at(key, a.k[2], r); }, [&](u32 n) { return at(query, a.q[2], n); });
      products<T>(
          dots, a.dim, [&](u32 r) { return row_at(value, a.v[2], r); },
          [&](u32 n) { return at(gradient, a.grad[2], n); });
      i32 limit = i < end ? s.limit(i) : 0, document = i < end ? s.document(i) : 0;
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        u32 row = warp * 4 + r;
        i32 j = i32(begin + row);
        bool seen = row < count && j < limit && (!s.documents || s.documents[j] == document);
        A weight = seen ? exponential(scores[r] * A(a.scale) - own_lse[i]) : A(0);
        weights[0][row][lane] = seen ? weight * (dots[r] - own_delta[i]) : A(0);
        weights[1][row][lane] = weight;
      }
      __syncthreads();
      for (u32 d = threadIdx.x; d < 2 * a.dim; d += THREADS) {
        u32 which = d / a.dim, c = d % a.dim;
        A *sums = which == 0 ? sums_k : sums_v, own[ROWS];
        const T *x = which == 0 ? query : gradient;
        i64 step = which == 0 ? a.q[2] : a.grad[2];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) own[r] = r < count ? sums[r * a.dim + c] : A(0);
        for (i32 n = 0; n < KEYS && start + n < end; ++n) {
          A number = widen(x[(start + n) * step + c]);
#pragma unroll
          for (int r = 0; r < ROWS; ++r) own[r] += weights[which][r][n] * number;
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
          if (r < count) sums[r * a.dim + c] = own[r];
      }
      __syncthreads();
    }
  }
  u64 to = (u64(kv) * a.keys + begin) * a.dim;
  for (u32 i = threadIdx.x; i < count * a.dim; i += THREADS) {
    if (dk) dk[to + i] = narrow<T>(sums_k[i] * A(a.scale));
    if (dv) dv[to + i] = narrow<T>(sums_v[i]);
  }
}

// Smallest and largest document of each span of keys, a warp a span.
extern "C" __global__ void attention_spans(int2 *spans, const i32 *documents, u32 keys, u32 batch) {
  u32 in_row = (keys + SPAN - 1) / SPAN, lane = threadIdx.x % WARP;
  u64 at = first() / WARP;
  if (at >= u64(batch) * in_row) return;
  u32 b = u32(at / in_row), start = u32(at % in_row) * SPAN;
  i32 low = 0x7FFFFFFF, high = -0x7FFFFFFF - 1;
  for (u32 j = start + lane; j < keys && j < start + SPAN; j += WARP) {
    i32 document = documents[u64(b) * keys + j];
    low = min(low, document);
    high = max(high, document);
  }
  low = warp_all(low, Min{});
  high = warp_all(high, Max{});
  if (lane == 0) spans[at] = make_int2(low, high);
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void attention_##T(T *y, Acc<T> *lse, const T *q, const T *k, const T *v, Attention a,         \
                                           u32 rows) {                                                                 \
    forward<T>(y, lse, q, k, v, a, rows);                                                                              \
  }                                                                                                                    \
  extern "C" __global__ void attention_delta_##T(Acc<T> *out, const T *grad, const T *y, Attention a, u64 rows) {      \
    delta<T>(out, grad, y, a, rows);                                                                                   \
  }                                                                                                                    \
  extern "C" __global__ void attention_backward_q_##T(T *dq, const T *grad, const T *q, const T *k, const T *v,        \
                                                      const Acc<T> *lse, const Acc<T> *delta, Attention a,             \
                                                      u32 rows) {                                                      \
    backward_q<T>(dq, grad, q, k, v, lse, delta, a, rows);                                                             \
  }                                                                                                                    \
  extern "C" __global__ void attention_backward_kv_##T(T *dk, T *dv, const T *grad, const T *q, const T *k,            \
                                                       const T *v, const Acc<T> *lse, const Acc<T> *delta,             \
                                                       Attention a, u32 rows) {                                        \
    backward_kv<T>(dk, dv, grad, q, k, v, lse, delta, a, rows);                                                        \
  }
FOR_FLOATS(KERNELS)
