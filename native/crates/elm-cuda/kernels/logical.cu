// Functions of truth values and of bits, elementwise. Bandwidth bound.
//
// Bits have no sign, so one kernel for each width does all integers; on truth values it sees 0 or 1.
#include "map.cuh"

#define BITS(NAME, SIGN)                                                                                               \
  template <typename T> struct NAME##_of {                                                                             \
    __device__ __forceinline__ T operator()(T a, T b) const { return T(a SIGN b); }                                    \
  };                                                                                                                   \
  template <> struct NAME##_of<boolean> {                                                                              \
    __device__ __forceinline__ boolean operator()(boolean a, boolean b) const {                                        \
      return boolean{u8((a.value != 0)SIGN(b.value != 0))};                                                            \
    }                                                                                                                  \
  };                                                                                                                   \
  extern "C" __global__ void NAME##_bool(boolean *y, const boolean *a, const boolean *b, Nd<3> nd, u64 n,              \
                                         u32 straight) {                                                               \
    map2(y, a, b, nd, n, straight, NAME##_of<boolean>{});                                                              \
  }                                                                                                                    \
  MAP2(NAME, NAME##_of, i64)                                                                                           \
  MAP2(NAME, NAME##_of, u32)                                                                                           \
  MAP2(NAME, NAME##_of, u8)
BITS(bitwise_and, &)
BITS(bitwise_or, |)
BITS(bitwise_xor, ^)

template <typename T> struct bitwise_not_of {
  __device__ __forceinline__ T operator()(T x) const { return T(~x); }
};
template <> struct bitwise_not_of<boolean> {
  __device__ __forceinline__ boolean operator()(boolean x) const { return boolean{u8(x.value == 0)}; }
};
extern "C" __global__ void bitwise_not_bool(boolean *y, const boolean *x, Nd<2> nd, u64 n, u32 straight) {
  map1(y, x, nd, n, straight, bitwise_not_of<boolean>{});
}
MAP1(bitwise_not, bitwise_not_of, i64)
MAP1(bitwise_not, bitwise_not_of, u32)
MAP1(bitwise_not, bitwise_not_of, u8)
