// Tensors made from numbers alone. Bound by their writes.
#include "common.cuh"

// Every 8 bytes of y are `bits`: the pattern of one element, repeated.
template <typename T> __device__ void full(T *y, u64 bits, u64 n) {
  constexpr u64 N = PACK<T>;
  u64 packs = u64(y) % 16 == 0 ? n / N : 0;
  auto wide = reinterpret_cast<ulonglong2 *>(y);
  for (u64 i = first(); i < packs; i += step()) wide[i] = make_ulonglong2(bits, bits);
  for (u64 i = packs * N + first(); i < n; i += step()) y[i] = T(bits);
}

#define FULL(WIDTH, T)                                                                                                 \
  extern "C" __global__ void full_##WIDTH(T *y, u64 bits, u64 n) { full(y, bits, n); }
FULL(1, u8)
FULL(2, uint16_t)
FULL(4, u32)
FULL(8, u64)

// start + i · step: floats in f64 with two roundings of its own and one at the end, integers in i64 (all of which wrap).
#define FLOATS(T)                                                                                                      \
  extern "C" __global__ void arange_##T(T *y, f64 start, f64 by, u64 n) {                                              \
    for (u64 i = first(); i < n; i += step())                                                                          \
      y[i] = narrow<T>(__dadd_rn(start, __dmul_rn(__ull2double_rn(i), by)));                                           \
  }
FOR_FLOATS(FLOATS)
#define INTS(T)                                                                                                        \
  extern "C" __global__ void arange_##T(T *y, i64 start, i64 by, u64 n) {                                              \
    for (u64 i = first(); i < n; i += step()) y[i] = narrow<T>(i64(u64(start) + i * u64(by)));                         \
  }
FOR_INTS(INTS)
