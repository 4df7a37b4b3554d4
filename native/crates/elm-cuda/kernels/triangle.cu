// Of every matrix the part on one side of a diagonal, 0 on the other. Bandwidth bound; where x is straight a thread takes
// 16 bytes, and what becomes 0 is not read.
#include "index.cuh"

template <typename T>
__device__ void triangle(T *y, const T *x, const Nd<2> &nd, u64 n, u64 rows, u64 columns, i64 diagonal, u32 upper,
                         u32 straight) {
  auto kept = [=](i64 row, i64 column) { return upper ? column - row >= diagonal : column - row <= diagonal; };
  constexpr int N = PACK<T>;
  u64 packs = straight ? n / N : 0;
  for (u64 i = first(); i < packs; i += step()) {
    u64 row = i * N;
    u64 column = take_off(row, columns);
    row = take_off(row, rows);
    Pack<T, N> out;
    bool keep[N], any = false;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      keep[j] = kept(i64(row), i64(column));
      any |= keep[j];
      if (++column < columns) continue;
      column = 0;
      row = row + 1 < rows ? row + 1 : 0;
    }
    if (any) out = reinterpret_cast<const Pack<T, N> *>(x)[i];
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = keep[j] ? out[j] : T(0);
    reinterpret_cast<Pack<T, N> *>(y)[i] = out;
  }
  for (u64 i = packs * N + first(); i < n; i += step()) {
    u64 row = i;
    u64 column = take_off(row, columns);
    row = take_off(row, rows);
    T value = 0;
    if (kept(i64(row), i64(column))) {
      i64 at[2];
      locate(nd, i, at);
      value = x[at[1]];
    }
    y[i] = value;
  }
}

#define WIDTH(N, T)                                                                                                    \
  extern "C" __global__ void triangle_##N(T *y, const T *x, Nd<2> nd, u64 n, u64 rows, u64 columns, i64 diagonal,      \
                                          u32 upper, u32 straight) {                                                   \
    triangle(y, x, nd, n, rows, columns, diagonal, upper, straight);                                                   \
  }
WIDTH(1, u8)
WIDTH(2, uint16_t)
WIDTH(4, u32)
WIDTH(8, u64)
