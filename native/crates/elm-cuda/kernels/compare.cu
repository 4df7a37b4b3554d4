// y[i] = a[i] ? b[i] as bool; every comparison with NaN but ≠ is false. Bandwidth bound by its two reads.
#include "map.cuh"

#define COMPARE(NAME, SIGN)                                                                                            \
  template <typename T> struct NAME##_of {                                                                             \
    __device__ __forceinline__ boolean operator()(T a, T b) const { return boolean{u8(widen(a) SIGN widen(b))}; }      \
  };
COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

#define KERNEL(NAME, SUFFIX, T)                                                                                        \
  extern "C" __global__ void NAME##_##SUFFIX(boolean *y, const T *a, const T *b, Nd<3> nd, u64 n, u32 straight) {      \
    map2(y, a, b, nd, n, straight, NAME##_of<T>{});                                                                    \
  }
#define KERNELS(SUFFIX, T)                                                                                             \
  KERNEL(eq, SUFFIX, T)                                                                                                \
  KERNEL(ne, SUFFIX, T)                                                                                                \
  KERNEL(lt, SUFFIX, T)                                                                                                \
  KERNEL(le, SUFFIX, T)                                                                                                \
  KERNEL(gt, SUFFIX, T)                                                                                                \
  KERNEL(ge, SUFFIX, T)
#define NUMBERS(T) KERNELS(T, T)
FOR_NUMBERS(NUMBERS)
KERNELS(bool, boolean)
