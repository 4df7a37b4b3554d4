// Integer arithmetic that wraps and is defined for every pair, as `int.rs` of the CPU has it.
#pragma once
#include <type_traits>

#include "common.cuh"

template <typename T> constexpr bool IS_INT = std::is_integral_v<T>;

// Unsigned arithmetic wraps; the signed one is undefined where it would overflow.
template <typename T> using Wrapping = std::make_unsigned_t<T>;

template <typename T> __device__ __forceinline__ T wrapping_add(T a, T b) { return T(Wrapping<T>(a) + Wrapping<T>(b)); }
template <typename T> __device__ __forceinline__ T wrapping_sub(T a, T b) { return T(Wrapping<T>(a) - Wrapping<T>(b)); }
template <typename T> __device__ __forceinline__ T wrapping_mul(T a, T b) { return T(u64(Wrapping<T>(a)) * u64(Wrapping<T>(b))); }

template <typename T> __device__ __forceinline__ bool negative(T x) {
  if constexpr (std::is_signed_v<T>) return x < 0;
  return false;
}

// Quotient and rest towards zero; the one quotient that overflows wraps.
template <typename T> __device__ __forceinline__ void divide(T a, T b, T &quotient, T &rest) {
  if constexpr (std::is_signed_v<T>) {
    if (b == T(-1)) {
      quotient = wrapping_sub(T(0), a);
      rest = 0;
      return;
    }
  }
  quotient = T(a / b);
  rest = T(a % b);
}

template <typename T> __device__ __forceinline__ T int_floor_divide(T a, T b) {
  if (b == 0) return 0;
  T quotient, rest;
  divide(a, b, quotient, rest);
  bool below = rest != 0 && negative(rest) != negative(b);
  return wrapping_sub(quotient, T(below));
}

template <typename T> __device__ __forceinline__ T int_remainder(T a, T b) {
  if (b == 0) return 0;
  T quotient, rest;
  divide(a, b, quotient, rest);
  bool crosses = rest != 0 && negative(rest) != negative(b);
  return crosses ? wrapping_add(rest, b) : rest;
}

// Negative powers drop the fraction of 1 / a^|b|; 0 for a = 0.
template <typename T> __device__ __forceinline__ T int_power(T a, T b) {
  if constexpr (std::is_signed_v<T>) {
    if (b < 0) {
      if (a == 1) return 1;
      if (a == T(-1)) return b & 1 ? T(-1) : T(1);
      return 0;
    }
  }
  T base = a, product = 1;
  for (Wrapping<T> left = Wrapping<T>(b); left > 0; left = Wrapping<T>(left >> 1)) {
    if (left & 1) product = wrapping_mul(product, base);
    base = wrapping_mul(base, base);
  }
  return product;
}
