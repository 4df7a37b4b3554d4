// Heads of a joint projection: queries and keys are normalized over each head and turned, values are moved; and the
// gradient. `rms_norm.cu` and `rope.cu` have the formulas.
//
// `lanes` threads of a warp have one head of one token: V components of both halves at a time. Bandwidth bound.
#include "heads.cuh"

// Outputs [batch, heads, tokens, dim]; a thread's head may be of any token.
template <typename T, typename W, int V>
__device__ void forward(T *q, T *k, T *v, Acc<T> *q_rstd, Acc<T> *k_rstd, const T *qkv, const W *q_weight,
                        const W *k_weight, const Heads &s, const Angles<Acc<T>> &angles, f64 eps) {
  u32 heads = s.query + 2 * s.kv, dim = 2 * s.half;
  u64 index = first() / s.lanes;
  // Threads without a head repeat the last one's reads: the sums want whole warps.
  bool active = index < s.rows * heads;
  if (!active) index = s.rows * heads - 1;
  u64 token = index / heads;
  u32 head = u32(index - token * heads);
  bool is_query = head < s.query, is_value = head >= s.query + s.kv;
  u32 h = is_query ? head : is_value ? head - s.query - s.kv : head - s.query;
  u64 row = row_of(s, token, is_query ? s.query : s.kv, h);
  T *y = (is_query ? q : is_value ? v : k) + row * dim;
  const W *weight = is_query ? q_weight : is_value ? nullptr : k_weight;
  Acc<T> *rstd = is_query ? q_rstd : is_value ? nullptr : k_rstd;
  const Turn<Acc<T>> *turns = angles.row(u32(token / s.tokens), u32(token % s.tokens));
  head_forward<T, W, V>(y, 1, rstd ? rstd + row : nullptr, qkv + index * dim, weight, is_value ? nullptr : turns, s,
                        active, eps);
}

// Queries go to q, keys and values to their places in the caches; nothing is written if one place does not exist. `parts`
// blocks have the heads of one token, whose angles they make where no table has them.
template <typename T, typename W, int V>
__device__ void into_cache(T *q, const Caches<T> &caches, const T *qkv, const W *q_weight, const W *k_weight,
                           const Heads &s, const Angles<Acc<T>> &angles, const Frequencies &frequencies, u32 parts,
                           f64 eps) {
  using A = Acc<T>;
  __shared__ Turn<A> own[COMPONENTS];
  int bad = 0;
  for (u64 b = threadIdx.x; b < caches.batch; b += blockDim.x) {
    i32 offset = caches.offset[b];
    if (offset >= 0 && offset <= caches.most) continue;
    bad = 1;
    if (blockIdx.x == 0) report(caches.word, b, offset);
  }
  // Offsets are looked at even where there is nothing to write.
  u64 token = blockIdx.x / parts, b = s.rows ? token / s.tokens : 0;
  u32 t = s.rows ? u32(token - b * s.tokens) : 0;
  i32 offset = caches.offset[b];
  if (!angles.table)
    for (u32 j = threadIdx.x; j < s.half; j += blockDim.x)
      own[j] = turn_at<A>(f64(offset) + f64(t), frequencies.values[j]);
  if (__syncthreads_or(bad) || s.rows == 0) return;
  u32 heads = s.query + 2 * s.kv, dim = 2 * s.half;
  u32 head = (u32(blockIdx.x - token * parts) * blockDim.x + threadIdx.x) / s.lanes;
  bool active = head < heads;
  if (!active) head = heads - 1;
  const T *x = qkv + (token * heads + head) * dim;
  const Turn<A> *turns = angles.table ? angles.row(u32(b), t) : own;
  bool is_query = head < s.query, is_value = head >= s.query + s.kv;
  T *y;
  i64 across = 1;
  if (is_query) {
    y = q + row_of(s, token, s.query, head) * dim;
  } else {
    u32 h = is_value ? head - s.query - s.kv : head - s.query;
    auto step = [&](int axis) { return is_value ? caches.value_steps[axis] : caches.key_steps[axis]; };
    y = (is_value ? caches.values : caches.keys) + i64(b) * step(0) + i64(h) * step(1) + (i64(offset) + t) * step(2);
    across = step(3);
  }
  const W *weight = is_query ? q_weight : is_value ? nullptr : k_weight;
  head_forward<T, W, V>(y, across, nullptr, x, weight, is_value ? nullptr : turns, s, active, eps);
}

// One head's share of the gradient. `sums` has the weight's gradient: in registers for V components of both halves, or
// in shared memory where a thread has more.
template <typename T, typename W, int V>
__device__ __forceinline__ void head_backward(T *dx, const T *grad, const T *x, const W *weight, Acc<T> rstd,
                                              const Turn<Acc<T>> *turns, u32 half, u32 lanes, bool active,
                                              Acc<T> (&kept)[2 * V], Acc<T> *sums) {
  using A = Acc<T>;
  u32 sub = threadIdx.x % lanes;
  auto turned = [&](u32 j, Pack<A, V> &a, Pack<A, V> &c) {
    auto low = *reinterpret_cast<const Pack<T, V> *>(grad + j);
    auto high = *reinterpret_cast<const Pack<T, V> *>(grad + half + j);
#pragma unroll
    for (int e = 0; e < V; ++e) {
      A p = widen(low[e]), r = widen(high[e]);
      Turn<A> turn = turns[j + e];
      a[e] = p * turn.cos + r * turn.sin;
      c[e] = r * turn.cos - p * turn.sin;
    }
  };
  A dot = 0;
  if (weight) {
    for (u32 j = sub * V; j < half; j += lanes * V) {
      Pack<A, V> a, c;
      turned(j, a, c);
      auto low = *reinterpret_cast<const Pack<T, V> *>(x + j);
      auto high = *reinterpret_cast<const Pack<T, V> *>(x + half + j);
#pragma unroll
      for (int e = 0; e < V; ++e) {
        A ga = a[e] * (A(widen(low[e])) * rstd), gc = c[e] * (A(widen(high[e])) * rstd);
        dot += ga * A(widen(weight[j + e])) + gc * A(widen(weight[half + j + e]));
        if (!active) continue;
        if constexpr (V > 1) {
          kept[e] += ga;
          kept[V + e] += gc;
        } else {
          sums[j] += ga;
          sums[half + j] += gc;
        }
      }
    }
  }
  A mean = lanes_sum(dot, lanes) / A(2 * half);
  if (!active || dx == nullptr) return;
  for (u32 j = sub * V; j < half; j += lanes * V) {
    Pack<A, V> a, c;
    turned(j, a, c);
    Pack<T, V> low, high;
    if (weight) {
      low = *reinterpret_cast<const Pack<T, V> *>(x + j);
      high = *reinterpret_cast<const Pack<T, V> *>(x + half + j);
    }
#pragma unroll
    for (int e = 0; e < V; ++e) {
      if (weight) {
        a[e] = rstd * (a[e] * A(widen(weight[j + e])) - A(widen(low[e])) * rstd * mean);
        c[e] = rstd * (c[e] * A(widen(weight[half + j + e])) - A(widen(high[e])) * rstd * mean);
      }
      low[e] = narrow<T>(a[e]);
      high[e] = narrow<T>(c[e]);
    }
    *reinterpret_cast<Pack<T, V> *>(dx + j) = low;
    *reinterpret_cast<Pack<T, V> *>(dx + half + j) = high;
  }
}

// A block takes every gridDim.x-th bundle of heads of the queries, then of the keys, and leaves its sums of the weights'
// gradients in `partial[block]`: [2, dim]. Values are moved at the end.
template <typename T, typename W, int V>
__device__ void backward(T *dqkv, Acc<T> *partial, const T *dq, const T *dk, const T *dv, const T *qkv,
                         const W *q_weight, const W *k_weight, const Acc<T> *q_rstd, const Acc<T> *k_rstd,
                         const Heads &s, const Angles<Acc<T>> &angles) {
  using A = Acc<T>;
  extern __shared__ __align__(16) unsigned char memory[];
  A *all = reinterpret_cast<A *>(memory);
  u32 heads = s.query + 2 * s.kv, dim = 2 * s.half;
  u32 bundles = blockDim.x / s.lanes, bundle = threadIdx.x / s.lanes, sub = threadIdx.x % s.lanes;
  A *sums = all + u64(bundle) * dim;
  for (int part = 0; part < 2; ++part) {
    u32 own = part == 0 ? s.query : s.kv, before = part == 0 ? 0 : s.query;
    const T *grad = part == 0 ? dq : dk;
    const W *weight = part == 0 ? q_weight : k_weight;
    const A *rstd = part == 0 ? q_rstd : k_rstd;
    A kept[2 * V];
#pragma unroll
    for (int e = 0; e < 2 * V; ++e) kept[e] = 0;
    for (u32 j = sub; j < dim; j += s.lanes) sums[j] = 0;
    __syncwarp();
    u64 count = s.rows * own;
    // All threads of a block go round equally often.
    for (u64 base = u64(blockIdx.x) * bundles; base < count; base += u64(gridDim.x) * bundles) {
      u64 index = base + bundle;
      bool active = index < count;
      if (!active) index = count - 1;
      u64 token = index / own;
      u32 h = u32(index - token * own);
      u64 row = row_of(s, token, own, h), at = (token * heads + before + h) * dim;
      head_backward<T, W, V>(dqkv ? dqkv + at : nullptr, grad + row * dim, qkv + at, weight, rstd[row],
                             angles.row(u32(token / s.tokens), u32(token % s.tokens)), s.half, s.lanes, active, kept,
                             sums);
    }
    if constexpr (V > 1) {
#pragma unroll
      for (int e = 0; e < V; ++e) {
        sums[sub * V + e] = kept[e];
        sums[s.half + sub * V + e] = kept[V + e];
      }
    }
    __syncthreads();
    for (u32 j = threadIdx.x; j < dim; j += blockDim.x) {
      A sum = 0;
      for (u32 i = 0; i < bundles; ++i) sum += all[u64(i) * dim + j];
      partial[(u64(blockIdx.x) * 2 + part) * dim + j] = sum;
    }
    __syncthreads();
  }
  if (dqkv == nullptr) return;
  u64 count = s.rows * s.kv;
  for (u64 index = u64(blockIdx.x) * bundles + bundle; index < count; index += u64(gridDim.x) * bundles) {
    u64 token = index / s.kv;
    u32 h = u32(index - token * s.kv);
    const T *from = dv + row_of(s, token, s.kv, h) * dim;
    T *to = dqkv + (token * heads + s.query + s.kv + h) * dim;
    for (u32 j = sub * V; j < dim; j += s.lanes * V) {
      *reinterpret_cast<Pack<T, V> *>(to + j) = *reinterpret_cast<const Pack<T, V> *>(from + j);
    }
  }
}

// dweight[j] = Σ_b partial[b][part][j], in order. Block 0 has the queries' weight, block 1 the keys'.
template <typename W, typename A>
__device__ void sums(W *dq_weight, W *dk_weight, const A *partial, u32 blocks, u32 dim) {
  W *to = blockIdx.y == 0 ? dq_weight : dk_weight;
  u32 j = blockIdx.x * blockDim.x + threadIdx.x;
  if (to == nullptr || j >= dim) return;
  A sum = 0;
  for (u32 b = 0; b < blocks; ++b) sum += partial[(u64(b) * 2 + blockIdx.y) * dim + j];
  to[j] = narrow<W>(sum);
}

#define KERNELS(NAME, T, W, V)                                                                                         \
  extern "C" __global__ void NAME##_##T##_##W(T *q, T *k, T *v, Acc<T> *q_rstd, Acc<T> *k_rstd, const T *qkv,          \
                                              const W *q_weight, const W *k_weight, Heads s, Angles<Acc<T>> angles,    \
                                              f64 eps) {                                                               \
    forward<T, W, V>(q, k, v, q_rstd, k_rstd, qkv, q_weight, k_weight, s, angles, eps);                                \
  }                                                                                                                    \
  OVERLAPPING(, NAME##_cache_##T##_##W,                                                                                \
              (T * q, const __grid_constant__ Caches<T> caches, const T *qkv, const W *q_weight, const W *k_weight,    \
               Heads s, Angles<Acc<T>> angles, const __grid_constant__ Frequencies frequencies, u32 parts, f64 eps),   \
              , into_cache<T, W, V>(q, caches, qkv, q_weight, k_weight, s, angles, frequencies, parts, eps);)          \
  extern "C" __global__ void NAME##_backward_##T##_##W(                                                                \
      T *dqkv, Acc<T> *partial, const T *dq, const T *dk, const T *dv, const T *qkv, const W *q_weight,                \
      const W *k_weight, const Acc<T> *q_rstd, const Acc<T> *k_rstd, Heads s, Angles<Acc<T>> angles) {                 \
    backward<T, W, V>(dqkv, partial, dq, dk, dv, qkv, q_weight, k_weight, q_rstd, k_rstd, s, angles);                  \
  }
#define BOTH(T, W)                                                                                                     \
  KERNELS(heads, T, W, 1)                                                                                              \
  KERNELS(heads_packed, T, W, PACK<T>)
BOTH(f64, f64)
BOTH(f32, f32)
BOTH(bf16, bf16)
BOTH(f16, f16)
BOTH(bf16, f32)
BOTH(f16, f32)

#define SUMS(W)                                                                                                        \
  extern "C" __global__ void weight_sums_##W(W *dq_weight, W *dk_weight, const Acc<W> *partial, u32 blocks, u32 dim) { \
    sums<W, Acc<W>>(dq_weight, dk_weight, partial, blocks, dim);                                                       \
  }
FOR_FLOATS(SUMS)
