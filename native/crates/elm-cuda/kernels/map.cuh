// Elementwise kernels: y[i] = f(x0[i], x1[i], …). Straight operands move 16 bytes at a time; others are found by their
// strides. y is row-major. `map.rs` makes the arguments.
#pragma once
#include "common.cuh"

template <typename T> constexpr __host__ __device__ int widest() { return sizeof(T); }
template <typename T, typename U, typename... Rest> constexpr __host__ __device__ int widest() {
  return int(sizeof(T)) > widest<U, Rest...>() ? int(sizeof(T)) : widest<U, Rest...>();
}

template <typename F, typename Y, typename X>
__device__ void map1(Y *y, const X *x, const Nd<2> &nd, u64 n, u32 straight, F f) {
  constexpr int N = 16 / widest<Y, X>();
  if (straight) {
    for (u64 i = first(); i < n / N; i += step()) {
      auto a = reinterpret_cast<const Pack<X, N> *>(x)[i];
      Pack<Y, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = f(a[j]);
      reinterpret_cast<Pack<Y, N> *>(y)[i] = out;
    }
    for (u64 i = n / N * N + first(); i < n; i += step()) y[i] = f(x[i]);
    return;
  }
  for (u64 i = first(); i < n; i += step()) {
    i64 at[2];
    locate(nd, i, at);
    y[i] = f(x[at[1]]);
  }
}

template <typename F, typename Y, typename A, typename B>
__device__ void map2(Y *y, const A *a, const B *b, const Nd<3> &nd, u64 n, u32 straight, F f) {
  constexpr int N = 16 / widest<Y, A, B>();
  if (straight) {
    for (u64 i = first(); i < n / N; i += step()) {
      auto x = reinterpret_cast<const Pack<A, N> *>(a)[i];
      auto z = reinterpret_cast<const Pack<B, N> *>(b)[i];
      Pack<Y, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = f(x[j], z[j]);
      reinterpret_cast<Pack<Y, N> *>(y)[i] = out;
    }
    for (u64 i = n / N * N + first(); i < n; i += step()) y[i] = f(a[i], b[i]);
    return;
  }
  for (u64 i = first(); i < n; i += step()) {
    i64 at[3];
    locate(nd, i, at);
    y[i] = f(a[at[1]], b[at[2]]);
  }
}

template <typename F, typename Y, typename A, typename B, typename C>
__device__ void map3(Y *y, const A *a, const B *b, const C *c, const Nd<4> &nd, u64 n, u32 straight, F f) {
  constexpr int N = 16 / widest<Y, A, B, C>();
  if (straight) {
    for (u64 i = first(); i < n / N; i += step()) {
      auto p = reinterpret_cast<const Pack<A, N> *>(a)[i];
      auto q = reinterpret_cast<const Pack<B, N> *>(b)[i];
      auto r = reinterpret_cast<const Pack<C, N> *>(c)[i];
      Pack<Y, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = f(p[j], q[j], r[j]);
      reinterpret_cast<Pack<Y, N> *>(y)[i] = out;
    }
    for (u64 i = n / N * N + first(); i < n; i += step()) y[i] = f(a[i], b[i], c[i]);
    return;
  }
  for (u64 i = first(); i < n; i += step()) {
    i64 at[4];
    locate(nd, i, at);
    y[i] = f(a[at[1]], b[at[2]], c[at[3]]);
  }
}

// Kernels `NAME_T` of a functor F<T> that takes and gives T.
#define MAP1(NAME, F, T)                                                                                               \
  extern "C" __global__ void NAME##_##T(T *y, const T *x, Nd<2> nd, u64 n, u32 straight) {                             \
    map1(y, x, nd, n, straight, F<T>{});                                                                               \
  }
#define MAP2(NAME, F, T)                                                                                               \
  OVERLAPPING(, NAME##_##T, (T * y, const T *a, const T *b, Nd<3> nd, u64 n, u32 straight),                            \
              , map2(y, a, b, nd, n, straight, F<T>{});)
