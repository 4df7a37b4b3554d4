// Attention of a few queries that lie in memory.
#include "attention_decode.cuh"

#define KERNEL(T, R)                                                                                                   \
  OVERLAPPING(, attention_decode_##R##_##T,                                                                            \
              (T * y, f32 *lse, f32 *sums, float2 *stats, u32 *arrived, const T *q, const T *k, const T *v,            \
               Attention a, u32 lanes, u32 parts),                                                                     \
              , Stored<T> queries{q};                                                                                  \
              decode<T, R>(y, lse, sums, stats, arrived, k, v, a, lanes, parts, queries);)
#define KERNELS(T)                                                                                                     \
  KERNEL(T, 1)                                                                                                         \
  KERNEL(T, 4)                                                                                                         \
  KERNEL(T, 8)
KERNELS(f32)
KERNELS(bf16)
KERNELS(f16)
