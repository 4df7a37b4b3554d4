// Writes into a tensor at places that indices or positions name. Bandwidth bound; a thread moves a unit of up to 16 bytes.
//
// Nothing is written where an index is out of range, so all are looked at first.
#include "common.cuh"

constexpr u64 GOOD = ~u64(0);

// Operands of `nd`, which has the shape of the value: the target without the indexed axis, the value, the indices, their
// row-major positions. `last[id]` is the last position (plus 1) that names a place; null says that there is one index.
template <typename T>
__device__ void assign_rows(T *target, const T *value, const i32 *indices, const Nd<4> &nd, u64 n, i64 across, i64 size,
                            u64 *word, const u32 *last) {
  // `ids_check` has run before where there are several.
  if (last != nullptr && *word != GOOD) return;
  for (u64 i = first(); i < n; i += step()) {
    i64 at[4];
    locate(nd, i, at);
    i64 id = checked(indices[at[2]], size, word, u64(at[3]));
    if (id < 0 || (last != nullptr && last[id] != u32(at[3] + 1))) continue;
    target[at[0] + id * across] = value[at[1]];
  }
}

// Operands of `nd`, which has the shape of x: the cache, x, the positions of the batch. A position is at most `most`.
template <typename T>
__device__ void cache_write(T *cache, const T *x, const i32 *positions, const Nd<3> &nd, u64 n, i64 across, u32 batch,
                            i64 along_batch, i64 most, u64 *word) {
  int bad = 0;
  for (u32 b = threadIdx.x; b < batch; b += blockDim.x) {
    i32 position = positions[i64(b) * along_batch];
    if (position >= 0 && position <= most) continue;
    bad = 1;
    if (blockIdx.x == 0) report(word, b, position);
  }
  if (__syncthreads_or(bad)) return;
  for (u64 i = first(); i < n; i += step()) {
    i64 at[3];
    locate(nd, i, at);
    cache[at[0] + i64(positions[at[2]]) * across] = x[at[1]];
  }
}

#define WIDTH(N, T)                                                                                                    \
  extern "C" __global__ void assign_rows_##N(T *target, const T *value, const i32 *indices, Nd<4> nd, u64 n,           \
                                             i64 across, i64 size, u64 *word, const u32 *last) {                       \
    assign_rows(target, value, indices, nd, n, across, size, word, last);                                              \
  }                                                                                                                    \
  extern "C" __global__ void cache_write_##N(T *cache, const T *x, const i32 *positions, Nd<3> nd, u64 n, i64 across,  \
                                             u32 batch, i64 along_batch, i64 most, u64 *word) {                        \
    cache_write(cache, x, positions, nd, n, across, batch, along_batch, most, word);                                   \
  }
WIDTH(1, u8)
WIDTH(2, uint16_t)
WIDTH(4, u32)
WIDTH(8, u64)
WIDTH(16, uint4)
