// table[b, t, j] = (cos θ, sin θ) of θ = (offset[b] + t) · frequency[j], in f64.
//
// A thread an entry.
#include "angles.cuh"

template <typename A>
__device__ void angles(Turn<A> *table, const i32 *offset, i64 step, const Frequencies &frequencies, u32 first, u32 count,
                       u32 half, u32 tokens, u64 rows) {
  for (u64 i = ::first(); i < rows * count; i += ::step()) {
    u64 row = i / count;
    u32 j = u32(i - row * count);
    f64 start = offset ? f64(offset[i64(row / tokens) * step]) : 0.0;
    table[row * half + first + j] = turn_at<A>(start + f64(row % tokens), frequencies.values[j]);
  }
}

#define KERNEL(A)                                                                                                      \
  extern "C" __global__ void angles_##A(Turn<A> *table, const i32 *offset, i64 step,                                   \
                                        const __grid_constant__ Frequencies frequencies, u32 first, u32 count,         \
                                        u32 half, u32 tokens, u64 rows) {                                              \
    angles<A>(table, offset, step, frequencies, first, count, half, tokens, rows);                                     \
  }
KERNEL(f64)
KERNEL(f32)
