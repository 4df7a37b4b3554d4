// y = x · Φ(x), exactly or by tanh, and dx = grad · (Φ(x) + x · Φ′(x)). Bandwidth bound for f32 and halves.
#include "map.cuh"
#include "sigmoid.cuh"

// Φ by the complement of the error function, which does not cancel for negative x.
template <typename A> __device__ __forceinline__ A normal_cdf(A x) { return A(0.5) * erfc(-x * A(0.70710678118654752440)); }

constexpr f64 TWICE_ROOT = 1.5957691216057307118, CUBIC = 0.044715;

// The argument of the sigmoid that (1 + tanh u) / 2 is.
template <typename A> __device__ __forceinline__ A twice_tanh(A x) { return A(TWICE_ROOT) * (x + A(CUBIC) * x * x * x); }

template <typename T> struct gelu_of {
  __device__ __forceinline__ T operator()(T value) const {
    Acc<T> x = widen(value);
    return narrow<T>(x * normal_cdf(x));
  }
};
template <typename T> struct gelu_tanh_of {
  __device__ __forceinline__ T operator()(T value) const {
    Acc<T> x = widen(value);
    return narrow<T>(x * sigmoid_of_number(twice_tanh(x)));
  }
};
template <typename T> struct gelu_backward_of {
  __device__ __forceinline__ T operator()(T grad, T value) const {
    using A = Acc<T>;
    A x = widen(value), density = exp(A(-0.5) * x * x) * A(0.39894228040143267794);
    return narrow<T>(A(widen(grad)) * (x * density + normal_cdf(x)));
  }
};
template <typename T> struct gelu_tanh_backward_of {
  __device__ __forceinline__ T operator()(T grad, T value) const {
    using A = Acc<T>;
    A x = widen(value), s, rest;
    sigmoids(twice_tanh(x), s, rest);
    A inner = A(TWICE_ROOT) * (A(3 * CUBIC) * x * x + 1);
    return narrow<T>(A(widen(grad)) * (s * rest * inner * x + s));
  }
};

#define KERNELS(T)                                                                                                     \
  MAP1(gelu, gelu_of, T)                                                                                               \
  MAP1(gelu_tanh, gelu_tanh_of, T)                                                                                     \
  MAP2(gelu_backward, gelu_backward_of, T)                                                                             \
  MAP2(gelu_tanh_backward, gelu_tanh_backward_of, T)
FOR_FLOATS(KERNELS)
