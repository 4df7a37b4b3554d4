// y[i] = f(x[i]). Bandwidth bound for f32 and halves: one read and one write an element; the functions of f64 are bound
// by arithmetic.
#include "integer.cuh"
#include "map.cuh"
#include "sigmoid.cuh"

// A function of floats, computed in their accumulator.
#define REAL(NAME, F)                                                                                                  \
  template <typename T> struct NAME##_of {                                                                             \
    __device__ __forceinline__ T operator()(T value) const {                                                           \
      auto x = widen(value);                                                                                           \
      using A = Acc<T>;                                                                                                \
      return narrow<T>(A(F));                                                                                          \
    }                                                                                                                  \
  };

// A function of floats and one of integers.
#define NUMERIC(NAME, F, INTEGER)                                                                                      \
  template <typename T> struct NAME##_of {                                                                             \
    __device__ __forceinline__ T operator()(T value) const {                                                           \
      if constexpr (IS_INT<T>) {                                                                                       \
        T x = value;                                                                                                   \
        return INTEGER;                                                                                                \
      } else {                                                                                                         \
        auto x = widen(value);                                                                                         \
        using A = Acc<T>;                                                                                              \
        return narrow<T>(A(F));                                                                                        \
      }                                                                                                                \
    }                                                                                                                  \
  };

// A question about floats.
#define QUESTION(NAME, F)                                                                                              \
  template <typename T> struct NAME##_of {                                                                             \
    __device__ __forceinline__ boolean operator()(T value) const {                                                     \
      auto x = widen(value);                                                                                           \
      return boolean{u8(F)};                                                                                           \
    }                                                                                                                  \
  };

REAL(exp, ::exp(x))
REAL(exp2, ::exp2(x))
REAL(expm1, ::expm1(x))
REAL(log, ::log(x))
REAL(log2, ::log2(x))
REAL(log1p, ::log1p(x))
REAL(sqrt, ::sqrt(x))
// Two roundings are closer than the chip's approximation of the whole.
REAL(rsqrt, A(1) / ::sqrt(x))
REAL(reciprocal, A(1) / x)
REAL(sin, ::sin(x))
REAL(cos, ::cos(x))
REAL(tanh, ::tanh(x))
REAL(sigmoid, sigmoid_of_number(x))
REAL(silu, x *sigmoid_of_number(x))
REAL(erf, ::erf(x))
REAL(floor, ::floor(x))
REAL(ceil, ::ceil(x))
REAL(round, ::rint(x))
REAL(trunc, ::trunc(x))

NUMERIC(neg, -x, wrapping_sub(T(0), x))
NUMERIC(abs, ::fabs(x), negative(x) ? wrapping_sub(T(0), x) : x)
NUMERIC(square, x *x, wrapping_mul(x, x))
NUMERIC(relu, x < 0 ? A(0) : x, negative(x) ? T(0) : x)
// What is neither above nor below 0 is a zero or NaN, and x · 0 is that again.
NUMERIC(sign, x > 0 ? A(1) : x < 0 ? A(-1) : x * A(0), negative(x) ? T(-1) : T(x != 0))

QUESTION(isnan, x != x)
QUESTION(isinf, isinf(x))
QUESTION(isfinite, isfinite(x))

#define QUESTIONS(NAME, T)                                                                                             \
  extern "C" __global__ void NAME##_##T(boolean *y, const T *x, Nd<2> nd, u64 n, u32 straight) {                       \
    map1(y, x, nd, n, straight, NAME##_of<T>{});                                                                       \
  }

#define FLOATS(T)                                                                                                      \
  MAP1(exp, exp_of, T)                                                                                                 \
  MAP1(exp2, exp2_of, T)                                                                                               \
  MAP1(expm1, expm1_of, T)                                                                                             \
  MAP1(log, log_of, T)                                                                                                 \
  MAP1(log2, log2_of, T)                                                                                               \
  MAP1(log1p, log1p_of, T)                                                                                             \
  MAP1(sqrt, sqrt_of, T)                                                                                               \
  MAP1(rsqrt, rsqrt_of, T)                                                                                             \
  MAP1(reciprocal, reciprocal_of, T)                                                                                   \
  MAP1(sin, sin_of, T)                                                                                                 \
  MAP1(cos, cos_of, T)                                                                                                 \
  MAP1(tanh, tanh_of, T)                                                                                               \
  MAP1(sigmoid, sigmoid_of, T)                                                                                         \
  MAP1(silu, silu_of, T)                                                                                               \
  MAP1(erf, erf_of, T)                                                                                                 \
  MAP1(floor, floor_of, T)                                                                                             \
  MAP1(ceil, ceil_of, T)                                                                                               \
  MAP1(round, round_of, T)                                                                                             \
  MAP1(trunc, trunc_of, T)                                                                                             \
  QUESTIONS(isnan, T)                                                                                                  \
  QUESTIONS(isinf, T)                                                                                                  \
  QUESTIONS(isfinite, T)
FOR_FLOATS(FLOATS)

#define NUMBERS(T)                                                                                                     \
  MAP1(neg, neg_of, T)                                                                                                 \
  MAP1(abs, abs_of, T)                                                                                                 \
  MAP1(square, square_of, T)                                                                                           \
  MAP1(relu, relu_of, T)                                                                                               \
  MAP1(sign, sign_of, T)
FOR_NUMBERS(NUMBERS)
