// y = silu(a) · b with a row of x as [a, b], and the gradient: with s = sigmoid(a), da = g · b · s · (1 + a · (1 − s)),
// db = g · a · s. Bandwidth bound: forward two reads and a write an element, backward three and two.
//
// A thread takes N neighbours of a row: packs of 16 bytes where rows and addresses allow, else one element.
#include "index.cuh"
#include "sigmoid.cuh"

// `dim` and `n` count packs.
template <typename T, int N> __device__ void swiglu(T *y, const T *x, u64 dim, u64 n) {
  using P = Pack<T, N>;
  auto in = reinterpret_cast<const P *>(x);
  auto out = reinterpret_cast<P *>(y);
  for (u64 i = first(); i < n; i += step()) {
    u64 row = i, column = take_off(row, dim), at = 2 * row * dim + column;
    P a = in[at], b = in[at + dim];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      Acc<T> gate = widen(a[j]), s, rest;
      sigmoids(gate, s, rest);
      a[j] = narrow<T>(gate * s * Acc<T>(widen(b[j])));
    }
    out[i] = a;
  }
}

template <typename T, int N> __device__ void swiglu_backward(T *dx, const T *grad, const T *x, u64 dim, u64 n) {
  using P = Pack<T, N>;
  auto in = reinterpret_cast<const P *>(x), above = reinterpret_cast<const P *>(grad);
  auto out = reinterpret_cast<P *>(dx);
  for (u64 i = first(); i < n; i += step()) {
    u64 row = i, column = take_off(row, dim), at = 2 * row * dim + column;
    P a = in[at], b = in[at + dim], g = above[i];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      Acc<T> gate = widen(a[j]), value = widen(b[j]), slope = widen(g[j]), s, rest;
      sigmoids(gate, s, rest);
      a[j] = narrow<T>(slope * value * s * (1 + gate * rest));
      b[j] = narrow<T>(slope * gate * s);
    }
    out[at] = a;
    out[at + dim] = b;
  }
}

#define KERNELS(T)                                                                                                     \
  OVERLAPPING(, swiglu_##T, (T * y, const T *x, u64 dim, u64 n, u32 packed),                                           \
              , packed ? swiglu<T, PACK<T>>(y, x, dim, n) : swiglu<T, 1>(y, x, dim, n);)                               \
  extern "C" __global__ void swiglu_backward_##T(T *dx, const T *grad, const T *x, u64 dim, u64 n, u32 packed) {       \
    packed ? swiglu_backward<T, PACK<T>>(dx, grad, x, dim, n) : swiglu_backward<T, 1>(dx, grad, x, dim, n);            \
  }
FOR_FLOATS(KERNELS)
