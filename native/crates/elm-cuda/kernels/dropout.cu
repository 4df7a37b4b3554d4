// y[i] = x[i] · scale, or 0 where the 24 bits of the element's random word are below the threshold. A thread makes the
// four elements of one block of Philox. Bound by the arithmetic of Philox for halves, else by bandwidth.
#include "philox.cuh"

template <typename T>
__device__ void dropout(T *y, const T *x, u64 seed, u64 counter, u64 n, u32 dropped, f64 scale) {
  Acc<T> factor = Acc<T>(scale);
  auto kept = [=](T value, u32 word) { return narrow<T>(word >> 8 < dropped ? Acc<T>(0) : Acc<T>(widen(value)) * factor); };
  bool packed = (u64(x) | u64(y)) % sizeof(Pack<T, 4>) == 0;
  for (u64 block = first(); block * 4 < n; block += step()) {
    if (packed && block * 4 + 4 <= n) {
      auto values = reinterpret_cast<const Pack<T, 4> *>(x)[block];
      Words words = philox(seed, counter + block);
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = kept(values[i], words[i]);
      reinterpret_cast<Pack<T, 4> *>(y)[block] = values;
      continue;
    }
    Words words = philox(seed, counter + block);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      u64 at = block * 4 + i;
      if (at < n) y[at] = kept(x[at], words[i]);
    }
  }
}

#define KERNEL(T)                                                                                                      \
  extern "C" __global__ void dropout_##T(T *y, const T *x, u64 seed, u64 counter, u64 n, u32 dropped, f64 scale) {     \
    dropout(y, x, seed, counter, n, dropped, scale);                                                                   \
  }
FOR_FLOATS(KERNEL)
