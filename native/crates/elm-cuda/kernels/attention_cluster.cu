// Attention of a few queries that lie in memory, by clusters.
#include "attention_cluster.cuh"

#define KERNEL(T, D)                                                                                                   \
  OVERLAPPING(__launch_bounds__(THREADS), attention_cluster_##D##_##T,                                                 \
              (T * y, f32 *lse, const T *q, const T *k, const T *v, const __grid_constant__ Attention a),              \
              cluster_arrive(); fetch_tiles<D>(k, v, a), Stored<T> queries{q};                                         \
              decode_in_cluster<T, D>(y, lse, k, v, a, queries);)
KERNEL(bf16, 64)
KERNEL(bf16, 128)
KERNEL(f16, 64)
KERNEL(f16, 128)
