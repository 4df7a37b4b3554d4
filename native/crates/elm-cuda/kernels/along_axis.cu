// Gather and scatter along one axis, an index for every element. Bandwidth bound.
//
// scatter: a first pass leaves at each place of y the last position along the axis that names it (a maximum, which does
// not depend on the order of the threads), a second one takes that update or x. scatter_add: the updates are sorted
// stably by the place that they name, and the first of the equal ones adds them in order to what y holds of x.
#include "index.cuh"

// `nd` has the shape of the indices; its operands are x without the axis, and the indices.
template <typename T>
__device__ void take_along(T *y, const T *x, const i32 *indices, const Nd<2> &nd, u64 n, i64 across, i64 size, u64 *word) {
  for (u64 i = first(); i < n; i += step()) {
    i64 at[2];
    locate(nd, i, at);
    i64 id = checked(indices[at[1]], size, word, i);
    y[i] = id < 0 ? T(0) : x[at[0] + id * across];
  }
}

// Operands of `nd`: y without the axis, and the indices. `inner` elements lie behind each of the `count` of the axis.
extern "C" __global__ void scatter_mark(u32 *last, const i32 *indices, Nd<2> nd, u64 n, i64 across, i64 size, u64 count,
                                        u64 inner, u64 *word) {
  for (u64 i = first(); i < n; i += step()) {
    i64 at[2];
    locate(nd, i, at);
    i64 id = checked(indices[at[1]], size, word, i);
    if (id < 0) continue;
    u64 rest = i;
    take_off(rest, inner);
    u64 position = take_off(rest, count);
    atomicMax(&last[at[0] + id * across], u32(position + 1));
  }
}

// `nd` has the shape of y; its operands are x, and the updates without the axis.
template <typename T>
__device__ void scatter(T *y, const T *x, const T *updates, const u32 *last, const Nd<2> &nd, u64 n, i64 across) {
  for (u64 i = first(); i < n; i += step()) {
    i64 at[2];
    locate(nd, i, at);
    u32 position = last[i];
    y[i] = position == 0 ? x[at[0]] : updates[at[1] + i64(position - 1) * across];
  }
}

#define WIDTH(N, T)                                                                                                    \
  extern "C" __global__ void take_along_##N(T *y, const T *x, const i32 *indices, Nd<2> nd, u64 n, i64 across,         \
                                            i64 size, u64 *word) {                                                     \
    take_along(y, x, indices, nd, n, across, size, word);                                                              \
  }                                                                                                                    \
  extern "C" __global__ void scatter_##N(T *y, const T *x, const T *updates, const u32 *last, Nd<2> nd, u64 n,         \
                                         i64 across) {                                                                 \
    scatter(y, x, updates, last, nd, n, across);                                                                       \
  }
WIDTH(1, u8)
WIDTH(2, uint16_t)
WIDTH(4, u32)
WIDTH(8, u64)

// What is sorted: the place in y of each update, and its row-major position. Those out of range come last.
extern "C" __global__ void scatter_keys(u32 *keys, u32 *positions, const i32 *indices, Nd<2> nd, u64 n, i64 across,
                                        i64 size, u32 places, u64 *word) {
  for (u64 i = first(); i < n; i += step()) {
    i64 at[2];
    locate(nd, i, at);
    i64 id = checked(indices[at[1]], size, word, i);
    keys[i] = id < 0 ? places : u32(at[0] + id * across);
    positions[i] = u32(i);
  }
}

// Integers wrap.
__device__ __forceinline__ f64 plus(f64 a, f64 b) { return a + b; }
__device__ __forceinline__ f32 plus(f32 a, f32 b) { return a + b; }
__device__ __forceinline__ i64 plus(i64 a, i64 b) { return i64(u64(a) + u64(b)); }

// y holds x. `nd` walks the updates.
template <typename T>
__device__ void scatter_add(T *y, const T *updates, const u32 *keys, const u32 *positions, const Nd<1> &nd, u64 n,
                            u32 places) {
  constexpr int FLIGHT = 4;
  for (u64 i = first(); i < n; i += step()) {
    u32 place = keys[i];
    if (place >= places || (i > 0 && keys[i - 1] == place)) continue;
    Acc<T> sum = widen(y[place]);
    bool more = true;
    for (u64 next = i; more; next += FLIGHT) {
      // Several loads in flight, added in order.
      T terms[FLIGHT];
      bool ours[FLIGHT];
#pragma unroll
      for (int f = 0; f < FLIGHT; ++f) {
        ours[f] = next + f < n && keys[next + f] == place;
        if (!ours[f]) continue;
        i64 at[1];
        locate(nd, positions[next + f], at);
        terms[f] = updates[at[0]];
      }
#pragma unroll
      for (int f = 0; f < FLIGHT; ++f)
        if (ours[f]) sum = plus(sum, Acc<T>(widen(terms[f])));
      more = ours[FLIGHT - 1];
    }
    y[place] = narrow<T>(sum);
  }
}

#define ADD(T)                                                                                                         \
  extern "C" __global__ void scatter_add_##T(T *y, const T *updates, const u32 *keys, const u32 *positions,            \
                                             const __grid_constant__ Nd<1> nd, u64 n, u32 places) {                    \
    scatter_add(y, updates, keys, positions, nd, n, places);                                                           \
  }
FOR_NUMBERS(ADD)
