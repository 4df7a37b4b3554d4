// Attention of a token that has just been projected: its heads are normalized and turned, its key and value written to the
// cache, and its queries meet all keys there. What `qk_norm_rope.cu` and `attention_decode.cu` do one after the other, with
// all their results and their very bits.
//
// Every block makes the queries of its kv head for itself. The block that reads the new key, or the last one if none does,
// makes that as well and writes it.
#include "attention_decode.cuh"
#include "heads.cuh"

// Queries that are made of a joint projection; `row`s in shared memory.
template <typename T, typename W, int R> struct Made {
  T *q;
  const Caches<T> &caches;
  const T *qkv;
  const W *q_weight, *k_weight;
  const Heads &heads;
  const Frequencies &frequencies;
  f64 eps;
  T (&rows)[R][MOST_DIM];
  Turn<Acc<T>> (&turns)[COMPONENTS];
  i32 written;

  // All threads of the block; there is one token in each sequence.
  __device__ __forceinline__ void prepare(const Attention &a, u32 b, u32 kv_head, u32 part, u32 active) {
    i32 offset = caches.offset[b];
    u32 count = heads.query + 2 * heads.kv, dim = 2 * heads.half, sub = threadIdx.x % heads.lanes;
    bool writes = part == min(u32(offset) / CHUNK, active - 1);
    for (u32 j = threadIdx.x; j < heads.half; j += THREADS) turns[j] = turn_at<Acc<T>>(f64(offset), frequencies.values[j]);
    __syncthreads();
    const T *token = qkv + u64(b) * count * dim;
    auto place = [&](T *start, const i64 *steps) { return start + i64(b) * steps[0] + i64(kv_head) * steps[1] + i64(offset) * steps[2]; };
    // The queries of this kv head, and in one block its key and its value.
    u32 group = a.group, all = writes ? group + 2 : group, bundles = THREADS / heads.lanes;
    for (u32 base = 0; base < all; base += bundles) {
      u32 own = base + threadIdx.x / heads.lanes;
      bool active_head = own < all;
      if (!active_head) own = all - 1;
      bool is_query = own < group, is_value = own == group + 1;
      u32 head = is_query ? kv_head * group + own : heads.query + (is_value ? heads.kv : 0) + kv_head;
      T *y = is_query ? rows[own] : is_value ? place(caches.values, caches.value_steps) : place(caches.keys, caches.key_steps);
      head_forward<T, W, PACK<T>>(y, 1, nullptr, token + u64(head) * dim, is_query ? q_weight : is_value ? nullptr : k_weight,
                                  is_value ? nullptr : turns, heads, active_head, eps);
    }
    __syncthreads();
    written = writes ? offset : -1;
    if (part > 0) return;
    T *to = q + (u64(b) * heads.query + kv_head * group) * dim;
    for (u32 own = threadIdx.x / heads.lanes; own < group; own += bundles)
      for (u32 j = sub * PACK<T>; j < dim; j += heads.lanes * PACK<T>)
        *reinterpret_cast<Pack<T, PACK<T>> *>(to + own * dim + j) = *reinterpret_cast<Pack<T, PACK<T>> *>(rows[own] + j);
  }

  __device__ __forceinline__ const T *row(const Attention &, u32, u32, u32 r) const { return rows[r]; }
  __device__ __forceinline__ i32 fresh() const { return written; }
};

// Nothing is written if one place of the cache does not exist.
template <typename T, typename W, int R>
__device__ void cached_attention(T *y, f32 *lse, f32 *sums, float2 *stats, u32 *arrived, T *q, const Caches<T> &caches,
                                 const T *qkv, const W *q_weight, const W *k_weight, const Heads &heads,
                                 const Frequencies &frequencies, f64 eps, const Attention &a, u32 lanes, u32 parts) {
  __shared__ __align__(16) T rows[R][MOST_DIM];
  __shared__ Turn<Acc<T>> turns[COMPONENTS];
  int bad = 0;
  for (u64 b = threadIdx.x; b < caches.batch; b += THREADS) {
    i32 offset = caches.offset[b];
    if (offset >= 0 && offset <= caches.most) continue;
    bad = 1;
    if (blockIdx.x == 0) report(caches.word, b, offset);
  }
  if (__syncthreads_or(bad)) return;
  Made<T, W, R> queries{q, caches, qkv, q_weight, k_weight, heads, frequencies, eps, rows, turns, -1};
  decode<T, R>(y, lse, sums, stats, arrived, caches.keys, caches.values, a, lanes, parts, queries);
}

#define KERNEL(T, W, R)                                                                                                \
  OVERLAPPING(, cached_attention_##R##_##T##_##W,                                                                      \
              (T * y, f32 *lse, f32 *sums, float2 *stats, u32 *arrived, T *q,                                          \
               const __grid_constant__ Caches<T> caches, const T *qkv, const W *q_weight, const W *k_weight,           \
               const __grid_constant__ Heads heads, const __grid_constant__ Frequencies frequencies, f64 eps,          \
               const __grid_constant__ Attention a, u32 lanes, u32 parts),                                             \
              , cached_attention<T, W, R>(y, lse, sums, stats, arrived, q, caches, qkv, q_weight, k_weight, heads,     \
                                          frequencies, eps, a, lanes, parts);)
#define KERNELS(T, W)                                                                                                  \
  KERNEL(T, W, 1)                                                                                                      \
  KERNEL(T, W, 4)                                                                                                      \
  KERNEL(T, W, 8)
KERNELS(f32, f32)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(bf16, f32)
KERNELS(f16, f32)
