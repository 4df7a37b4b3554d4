// A look at all indices before anything is moved.
#include "common.cuh"

// Reports the first one out of range. Where `last` is given, last[id] becomes the greatest position (plus 1) that names
// the place: the maximum does not depend on the order of the threads.
extern "C" __global__ void ids_check(const i32 *indices, const __grid_constant__ Nd<1> nd, u64 n, i64 size, u64 *word, u32 *last) {
  for (u64 i = first(); i < n; i += step()) {
    i64 at[1];
    locate(nd, i, at);
    i64 id = checked(indices[at[0]], size, word, i);
    if (id >= 0 && last != nullptr) atomicMax(&last[id], u32(i + 1));
  }
}
