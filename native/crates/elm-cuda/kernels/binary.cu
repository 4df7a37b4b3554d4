// y[i] = f(a[i], b[i]) on numbers. Bandwidth bound: two reads and one write an element.
#include "integer.cuh"
#include "map.cuh"

// A function of floats that is computed in their accumulator, and one of integers.
#define BINARY(NAME, REAL, INTEGER)                                                                                    \
  template <typename T> struct NAME##_of {                                                                             \
    __device__ __forceinline__ T operator()(T x, T z) const {                                                          \
      if constexpr (IS_INT<T>) {                                                                                       \
        T a = x, b = z;                                                                                                \
        return INTEGER;                                                                                                \
      } else {                                                                                                         \
        auto a = widen(x), b = widen(z);                                                                               \
        return narrow<T>(REAL);                                                                                        \
      }                                                                                                                \
    }                                                                                                                  \
  };

// By the exact remainder: the rounded quotient may reach a whole number from below.
template <typename A> __device__ __forceinline__ A floor_remainder(A a, A b) {
  A rest = fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
template <typename A> __device__ __forceinline__ A floor_quotient(A a, A b) {
  if (b == 0) return a / b;
  A rest = fmod(a, b);
  A quotient = rint((a - rest) / b);
  return rest != 0 && (rest < 0) != (b < 0) ? quotient - 1 : quotient;
}

BINARY(add, a + b, wrapping_add(a, b))
BINARY(sub, a - b, wrapping_sub(a, b))
BINARY(mul, a *b, wrapping_mul(a, b))
BINARY(maximum, a > b || a != a ? a : b, a > b ? a : b)
BINARY(minimum, a < b || a != a ? a : b, a < b ? a : b)
BINARY(floor_divide, floor_quotient(a, b), int_floor_divide(a, b))
BINARY(remainder, floor_remainder(a, b), int_remainder(a, b))
BINARY(pow, ::pow(a, b), int_power(a, b))
BINARY(div, a / b, b)

#define KERNELS(T)                                                                                                     \
  MAP2(add, add_of, T)                                                                                                 \
  MAP2(sub, sub_of, T)                                                                                                 \
  MAP2(mul, mul_of, T)                                                                                                 \
  MAP2(maximum, maximum_of, T)                                                                                         \
  MAP2(minimum, minimum_of, T)                                                                                         \
  MAP2(floor_divide, floor_divide_of, T)                                                                               \
  MAP2(remainder, remainder_of, T)                                                                                     \
  MAP2(pow, pow_of, T)
FOR_NUMBERS(KERNELS)

#define QUOTIENTS(T) MAP2(div, div_of, T)
FOR_FLOATS(QUOTIENTS)
