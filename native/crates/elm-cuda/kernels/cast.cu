// y[i] = x[i] in another dtype. Bandwidth bound.
#include "convert.cuh"
#include "map.cuh"

template <typename To> struct Convert {
  template <typename From> __device__ __forceinline__ To operator()(From x) const { return convert<To>(x); }
};

#define KERNEL(FROM, X, TO, Y)                                                                                         \
  extern "C" __global__ void cast_##FROM##_##TO(Y *y, const X *x, Nd<2> nd, u64 n, u32 straight) {                     \
    map1(y, x, nd, n, straight, Convert<Y>{});                                                                         \
  }
#define TO_ALL(FROM, X)                                                                                                \
  KERNEL(FROM, X, f64, f64)                                                                                            \
  KERNEL(FROM, X, f32, f32)                                                                                            \
  KERNEL(FROM, X, bf16, bf16)                                                                                          \
  KERNEL(FROM, X, f16, f16)                                                                                            \
  KERNEL(FROM, X, i64, i64)                                                                                            \
  KERNEL(FROM, X, i32, i32)                                                                                            \
  KERNEL(FROM, X, u32, u32)                                                                                            \
  KERNEL(FROM, X, i8, i8)                                                                                              \
  KERNEL(FROM, X, u8, u8)                                                                                              \
  KERNEL(FROM, X, bool, boolean)
#define FROM_NUMBER(T) TO_ALL(T, T)
FOR_NUMBERS(FROM_NUMBER)
TO_ALL(bool, boolean)
