// y = a where the condition holds and b elsewhere, for each width of elements; y = min(max(x, low), high).
// Bandwidth bound.
#include "map.cuh"

template <typename T> struct Choice {
  __device__ __forceinline__ T operator()(boolean condition, T a, T b) const { return condition.value != 0 ? a : b; }
};

#define WHERE(WIDTH, T)                                                                                                \
  extern "C" __global__ void where_##WIDTH(T *y, const boolean *condition, const T *a, const T *b, Nd<4> nd, u64 n,    \
                                           u32 straight) {                                                             \
    map3(y, condition, a, b, nd, n, straight, Choice<T>{});                                                            \
  }
WHERE(1, u8)
WHERE(2, uint16_t)
WHERE(4, u32)
WHERE(8, u64)

// Neither comparison holds for NaN, so it stays.
template <typename T> struct Clamp {
  Acc<T> low, high;
  __device__ __forceinline__ T operator()(T value) const {
    Acc<T> x = widen(value);
    x = x < low ? low : x;
    return narrow<T>(x > high ? high : x);
  }
};

#define CLAMP(T)                                                                                                       \
  extern "C" __global__ void clamp_##T(T *y, const T *x, Nd<2> nd, u64 n, u32 straight, Acc<T> low, Acc<T> high) {     \
    map1(y, x, nd, n, straight, Clamp<T>{low, high});                                                                  \
  }
FOR_NUMBERS(CLAMP)
