// y[j] = x[j] cos θ − x[j + half] sin θ, y[j + half] = x[j + half] cos θ + x[j] sin θ, θ the angle of token and component.
//
// A thread has V components of both halves of a head. Bandwidth bound: one read and one write an element.
#include "angles.cuh"

// Steps of batch, head, token and component.
struct Steps {
  i64 of[4];
};

template <typename T, int V>
__device__ void rope(T *y, const T *x, const Steps &steps, const Angles<Acc<T>> &angles, u32 heads, u64 n, i32 sign) {
  using A = Acc<T>;
  u32 half = angles.half, packs = half / V;
  for (u64 i = first(); i < n; i += step()) {
    u64 row = i / packs;
    u32 j = u32(i - row * packs) * V;
    u64 head = row / angles.tokens;
    u32 t = u32(row - head * angles.tokens), b = u32(head / heads), h = u32(head - u64(b) * heads);
    const T *from = x + b * steps.of[0] + h * steps.of[1] + t * steps.of[2];
    const Turn<A> *turns = angles.row(b, t) + j;
    Pack<T, V> low, high;
    if constexpr (V > 1) {
      low = *reinterpret_cast<const Pack<T, V> *>(from + j);
      high = *reinterpret_cast<const Pack<T, V> *>(from + half + j);
    } else {
      low[0] = from[j * steps.of[3]];
      high[0] = from[(half + j) * steps.of[3]];
    }
#pragma unroll
    for (int k = 0; k < V; ++k) {
      A a = widen(low[k]), c = widen(high[k]), cosine = turns[k].cos, sine = turns[k].sin * A(sign);
      low[k] = narrow<T>(a * cosine - c * sine);
      high[k] = narrow<T>(c * cosine + a * sine);
    }
    T *to = y + row * (2 * u64(half));
    *reinterpret_cast<Pack<T, V> *>(to + j) = low;
    *reinterpret_cast<Pack<T, V> *>(to + half + j) = high;
  }
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void rope_##T(T *y, const T *x, Steps steps, Angles<Acc<T>> angles, u32 heads, u64 n,          \
                                      i32 sign) {                                                                      \
    rope<T, 1>(y, x, steps, angles, heads, n, sign);                                                                   \
  }                                                                                                                    \
  extern "C" __global__ void rope_packed_##T(T *y, const T *x, Steps steps, Angles<Acc<T>> angles, u32 heads, u64 n,   \
                                             i32 sign) {                                                               \
    rope<T, PACK<T>>(y, x, steps, angles, heads, n, sign);                                                             \
  }
FOR_FLOATS(KERNELS)
