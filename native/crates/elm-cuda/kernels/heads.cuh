// Heads of a joint projection, of which `lanes` threads of a warp have one of one token, and caches of keys and values.
#pragma once
#include "angles.cuh"

// `rows` are tokens of all sequences; a row has `query` + 2 · `kv` heads.
struct Heads {
  u64 rows;
  u32 tokens, query, kv, half, lanes;
};

template <typename A> __device__ __forceinline__ A lanes_sum(A value, u32 lanes) {
  for (u32 lane = lanes / 2; lane > 0; lane /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, lane);
  return value;
}

// Where a head lies in an output [batch, heads, tokens, dim], in rows.
__device__ __forceinline__ u64 row_of(const Heads &s, u64 token, u32 heads, u32 h) {
  u64 b = token / s.tokens;
  return (b * heads + h) * s.tokens + (token - b * s.tokens);
}

// Adds the squares of a pack of each half.
template <typename T, int V>
__device__ __forceinline__ void add_squares(Acc<T> &sum, const Pack<T, V> &low, const Pack<T, V> &high) {
#pragma unroll
  for (int e = 0; e < V; ++e) {
    Acc<T> a = widen(low[e]), c = widen(high[e]);
    sum += a * a + c * c;
  }
}

template <typename A> __device__ __forceinline__ A norm_scale(A squares, u32 dim, f64 eps) {
  return A(1) / sqrt(squares / A(dim) + A(eps));
}

// The definition rounds to the input's dtype before the weight.
template <typename T, typename W> __device__ __forceinline__ Acc<T> weighted(Acc<T> x, Acc<T> scale, W weight) {
  return Acc<T>(widen(narrow<T>(x * scale))) * Acc<T>(widen(weight));
}

// A component of each half, turned.
template <typename T>
__device__ __forceinline__ void turned(T &low, T &high, Acc<T> a, Acc<T> c, const Turn<Acc<T>> &turn) {
  low = narrow<T>(a * turn.cos - c * turn.sin);
  high = narrow<T>(c * turn.cos + a * turn.sin);
}

// One head, normalized unless `weight` is null and turned unless `turns` is; its components go `across` apart. All threads
// of the warp call it; those of a head that is not active write nothing.
template <typename T, typename W, int V>
__device__ __forceinline__ void head_forward(T *y, i64 across, Acc<T> *rstd, const T *x, const W *weight,
                                             const Turn<Acc<T>> *turns, const Heads &s, bool active, f64 eps) {
  using A = Acc<T>;
  u32 dim = 2 * s.half, sub = threadIdx.x % s.lanes;
  A squares = 0;
  for (u32 j = sub * V; j < s.half; j += s.lanes * V)
    add_squares<T, V>(squares, *reinterpret_cast<const Pack<T, V> *>(x + j),
                      *reinterpret_cast<const Pack<T, V> *>(x + s.half + j));
  squares = lanes_sum(squares, s.lanes);
  if (!active) return;
  A scale = weight ? norm_scale(squares, dim, eps) : A(1);
  if (rstd && sub == 0) *rstd = scale;
  for (u32 j = sub * V; j < s.half; j += s.lanes * V) {
    auto low = *reinterpret_cast<const Pack<T, V> *>(x + j);
    auto high = *reinterpret_cast<const Pack<T, V> *>(x + s.half + j);
    if (turns) {
#pragma unroll
      for (int e = 0; e < V; ++e) {
        A a = widen(low[e]), c = widen(high[e]);
        if (weight) {
          a = weighted<T>(a, scale, weight[j + e]);
          c = weighted<T>(c, scale, weight[s.half + j + e]);
        }
        turned<T>(low[e], high[e], a, c, turns[j + e]);
      }
    }
    // Packs are for components side by side.
    i64 to = V > 1 ? i64(j) : i64(j) * across, half = V > 1 ? i64(s.half) : i64(s.half) * across;
    *reinterpret_cast<Pack<T, V> *>(y + to) = low;
    *reinterpret_cast<Pack<T, V> *>(y + to + half) = high;
  }
}

// Caches [batch, kv, capacity, dim] with their steps, and where in them the new tokens of each sequence start.
template <typename T> struct Caches {
  T *keys, *values;
  i64 key_steps[4], value_steps[4];
  // [batch]; at most `most`.
  const i32 *offset;
  i64 most;
  u64 *word;
  u64 batch;
};
