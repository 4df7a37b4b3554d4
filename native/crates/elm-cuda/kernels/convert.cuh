// One rounding from any dtype to any other. Floats to integers drop the fraction and saturate, NaN gives 0; integers
// that do not fit wrap; everything but 0 is true.
#pragma once
#include <type_traits>

#include "common.cuh"

// An i64 as an f64, to the odd neighbour where it lies between two: a second rounding then sees what the first dropped.
__device__ __forceinline__ f64 odd_f64(i64 value) {
  i64 kept = value & ~i64(0x7FF);
  i64 odd = kept == value ? kept : kept | 0x800;
  bool exact = value > -(i64(1) << 53) && value < i64(1) << 53;
  return __ll2double_rn(exact ? value : odd);
}

// The chip's conversions saturate for numbers, but of NaN some make the least integer.
template <typename To> __device__ __forceinline__ To whole(f32 x) {
  if (x != x) return 0;
  if constexpr (std::is_same_v<To, i64>) return __float2ll_rz(x);
  if constexpr (std::is_same_v<To, u32>) return __float2uint_rz(x);
  if constexpr (std::is_same_v<To, i32>) return __float2int_rz(x);
  if constexpr (std::is_same_v<To, i8>) return i8(min(max(__float2int_rz(x), -128), 127));
  if constexpr (std::is_same_v<To, u8>) return u8(min(max(__float2int_rz(x), 0), 255));
}
template <typename To> __device__ __forceinline__ To whole(f64 x) {
  if (x != x) return 0;
  if constexpr (std::is_same_v<To, i64>) return __double2ll_rz(x);
  if constexpr (std::is_same_v<To, u32>) return __double2uint_rz(x);
  if constexpr (std::is_same_v<To, i32>) return __double2int_rz(x);
  if constexpr (std::is_same_v<To, i8>) return i8(min(max(__double2int_rz(x), -128), 127));
  if constexpr (std::is_same_v<To, u8>) return u8(min(max(__double2int_rz(x), 0), 255));
}

template <typename T> constexpr bool IS_HALF = std::is_same_v<T, bf16> || std::is_same_v<T, f16>;
template <typename T> constexpr bool IS_WIDE = std::is_same_v<T, f32> || std::is_same_v<T, f64>;

template <typename To, typename From> __device__ __forceinline__ To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, boolean>) {
    return convert<To>(u8(value.value != 0));
  } else if constexpr (IS_HALF<From>) {
    return convert<To>(widen(value));
  } else if constexpr (std::is_same_v<To, boolean>) {
    return boolean{u8(value != 0)};
  } else if constexpr (IS_HALF<To>) {
    if constexpr (IS_WIDE<From>) return narrow<To>(value);
    if constexpr (std::is_same_v<From, i64>) return narrow<To>(odd_f64(value));
    // Exact: an f64 holds all the others.
    if constexpr (!IS_WIDE<From> && !std::is_same_v<From, i64>) return narrow<To>(f64(value));
  } else if constexpr (IS_WIDE<From> && !IS_WIDE<To>) {
    return whole<To>(value);
  } else {
    return static_cast<To>(value);
  }
}
