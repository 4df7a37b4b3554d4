// 1 / (1 + e⁻ˣ), by e^−|x|: nothing overflows and nothing cancels.
#pragma once
#include "common.cuh"

// The sigmoid and what is left to 1.
template <typename A> __device__ __forceinline__ void sigmoids(A x, A &value, A &rest) {
  A e = exp(-fabs(x));
  A large = A(1) / (A(1) + e), small = e * large;
  value = x >= 0 ? large : small;
  rest = x >= 0 ? small : large;
}

template <typename A> __device__ __forceinline__ A sigmoid_of_number(A x) {
  A e = exp(-fabs(x));
  return (x < 0 ? e : A(1)) / (A(1) + e);
}
