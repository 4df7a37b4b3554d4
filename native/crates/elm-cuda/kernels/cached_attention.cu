// Attention of a token that has just been projected: its heads are normalized and turned, its key and value written to the
// cache, and its queries meet all keys there. What `qk_norm_rope.cu` and `attention_cluster.cu` do one after the other, with
// all their results and their very bits.
#include "attention_cluster.cuh"

#define QUERIES(T, W, D)                                                                                               \
  using Queries = Made<T, W, D>;                                                                                       \
  __shared__ Queries::Space space;                                                                            \
  f64 frequency = Queries::frequency_of(frequencies);                                                                  \
  Queries queries{q, caches, qkv, q_weight, k_weight, heads, frequency, eps, space}
#define KERNEL(T, W, D)                                                                                                \
  OVERLAPPING(__launch_bounds__(THREADS), cached_attention_##D##_##T##_##W,                                            \
              (T * y, f32 *lse, T *q, const __grid_constant__ Caches<T> caches, const T *qkv, const W *q_weight,       \
               const W *k_weight, const __grid_constant__ Heads heads,                                                 \
               const __grid_constant__ Frequencies frequencies, f64 eps, const __grid_constant__ Attention a),         \
              QUERIES(T, W, D); cluster_arrive(); queries.fetch_ahead();                                               \
              fetch_tiles<D>(caches.keys, caches.values, a),                                                           \
              decode_in_cluster<T, D>(y, lse, caches.keys, caches.values, a, queries);)
#define KERNELS(T, W) KERNEL(T, W, 64) KERNEL(T, W, 128)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
KERNELS(bf16, f32)
KERNELS(f16, f32)
