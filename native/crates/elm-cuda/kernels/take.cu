// y[…, i…, …] = x[…, indices[i…], …] and its gradient. Bandwidth bound.
//
// Forward, a thread moves a unit of up to 16 bytes. Backward, indices are sorted stably by the row that they name; then
// dx is zeroes, and the first of the equal ones of the sorted list owns their row and adds its gradients in order.
#include "index.cuh"

// Operands of `nd`, which has the shape of y: x without the indexed axis, the indices, their row-major positions.
template <typename T>
__device__ void take(T *y, const T *x, const i32 *indices, const Nd<3> &nd, u64 n, i64 across, i64 size, u64 *word) {
  for (u64 i = first(); i < n; i += step()) {
    i64 at[3];
    locate(nd, i, at);
    i64 id = checked(indices[at[1]], size, word, u64(at[2]));
    T value{};
    if (id >= 0) value = x[at[0] + id * across];
    y[i] = value;
  }
}

#define WIDTH(N, T)                                                                                                    \
  extern "C" __global__ void take_##N(T *y, const T *x, const i32 *indices, Nd<3> nd, u64 n, i64 across, i64 size,     \
                                      u64 *word) {                                                                     \
    take(y, x, indices, nd, n, across, size, word);                                                                    \
  }
WIDTH(1, u8)
WIDTH(2, uint16_t)
WIDTH(4, u32)
WIDTH(8, u64)
WIDTH(16, uint4)

// What is sorted: the row of each index, and its position. Those out of range come last.
extern "C" __global__ void take_keys(u32 *keys, u32 *positions, const i32 *indices, u64 n, i64 size, u64 *word) {
  for (u64 i = first(); i < n; i += step()) {
    i64 id = checked(indices[i], size, word, i);
    keys[i] = u32(id < 0 ? size : id);
    positions[i] = u32(i);
  }
}

// `inner` and `n` count packs: n = outer · count · inner.
template <typename T, int N>
__device__ void take_backward(T *dx, const T *grad, const u32 *keys, const u32 *positions, u32 count, u64 inner, u64 size,
                              u64 n) {
  using P = Pack<T, N>;
  constexpr int FLIGHT = 8;
  auto above = reinterpret_cast<const P *>(grad);
  auto out = reinterpret_cast<P *>(dx);
  for (u64 i = first(); i < n; i += step()) {
    u64 outer = i;
    u64 column = take_off(outer, inner);
    u32 at = u32(take_off(outer, count)), row = keys[at];
    if (row >= size || (at > 0 && keys[at - 1] == row)) continue;
    Acc<T> sums[N];
#pragma unroll
    for (int j = 0; j < N; ++j) sums[j] = 0;
    for (bool more = true; more; at += FLIGHT) {
      // Several loads in flight, added in order.
      P terms[FLIGHT];
      bool ours[FLIGHT];
#pragma unroll
      for (int f = 0; f < FLIGHT; ++f) {
        // `at + f` may pass 2³².
        u64 next = u64(at) + f;
        ours[f] = next < count && keys[next] == row;
        if (ours[f]) terms[f] = above[(outer * count + positions[next]) * inner + column];
      }
#pragma unroll
      for (int f = 0; f < FLIGHT; ++f) {
        if (!ours[f]) continue;
#pragma unroll
        for (int j = 0; j < N; ++j) sums[j] += Acc<T>(widen(terms[f][j]));
      }
      more = ours[FLIGHT - 1] && u64(at) + FLIGHT < count;
    }
    P sum;
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = narrow<T>(sums[j]);
    out[(outer * size + row) * inner + column] = sum;
  }
}

#define BACKWARD(T)                                                                                                    \
  extern "C" __global__ void take_backward_##T(T *dx, const T *grad, const u32 *keys, const u32 *positions, u32 count, \
                                               u64 inner, u64 size, u64 n, u32 packed) {                               \
    packed ? take_backward<T, PACK<T>>(dx, grad, keys, positions, count, inner, size, n)                               \
           : take_backward<T, 1>(dx, grad, keys, positions, count, inner, size, n);                                    \
  }
FOR_FLOATS(BACKWARD)
