// Random tensors: element i comes from word i mod 4 of block counter + i / 4 of Philox, so a thread makes one block of
// four elements. Bound by the arithmetic of Philox for f32 and shorter.
#include "inverse_normal.cuh"

// low + u · span, kept between the ends as the dtype has them.
template <typename T> __device__ void uniform(T *y, u64 seed, u64 counter, u64 n, f64 start, f64 span, f64 bottom, f64 top) {
  using A = Acc<T>;
  A low = A(start), across = A(span), least = A(bottom), most = A(top);
  draw(y, seed, counter, n, [=](const Words &words) {
    Pack<T, 4> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      A unit = A(words[i] >> 8) * A(1.0 / 16777216.0);
      A value = widen(narrow<T>(fused(unit, across, low)));
      value = value > most ? most : value;
      out[i] = narrow<T>(value < least ? least : value);
    }
    return out;
  });
}

template <typename T> __device__ void normal(T *y, u64 seed, u64 counter, u64 n, f64 mean, f64 std) {
  using A = Acc<T>;
  A middle = A(mean), scale = A(std);
  draw(y, seed, counter, n, [=](const Words &words) {
    f32 z[4];
    normal_pair(words[0], words[1], z[0], z[1]);
    normal_pair(words[2], words[3], z[2], z[3]);
    Pack<T, 4> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = narrow<T>(fused(scale, A(z[i]), middle));
    return out;
  });
}

// The normal distribution between two bounds, of which Φ is `start` and `start + mass`.
struct Truncated {
  f64 low, high, start, mass, mean, std;
};

template <typename T>
__device__ void truncated_normal(T *y, u64 seed, u64 counter, u64 n, const Truncated &of, u32 mirrored) {
  draw(y, seed, counter, n, [=](const Words &words) {
    Pack<T, 4> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      f64 u = open_unit(words[i]);
      u = mirrored ? __dsub_rn(1.0, u) : u;
      f64 z = inverse_normal(__fma_rn(u, of.mass, of.start));
      z = fmin(fmax(z, of.low), of.high);
      out[i] = narrow<T>(__fma_rn(of.std, mirrored ? -z : z, of.mean));
    }
    return out;
  });
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void uniform_##T(T *y, u64 seed, u64 counter, u64 n, f64 start, f64 span, f64 bottom,          \
                                         f64 top) {                                                                    \
    uniform(y, seed, counter, n, start, span, bottom, top);                                                            \
  }                                                                                                                    \
  extern "C" __global__ void normal_##T(T *y, u64 seed, u64 counter, u64 n, f64 mean, f64 std) {                       \
    normal(y, seed, counter, n, mean, std);                                                                            \
  }                                                                                                                    \
  extern "C" __global__ void truncated_normal_##T(T *y, u64 seed, u64 counter, u64 n, f64 low, f64 high, f64 start,    \
                                                  f64 mass, f64 mean, f64 std, u32 mirrored) {                         \
    truncated_normal(y, seed, counter, n, Truncated{low, high, start, mass, mean, std}, mirrored);                     \
  }
FOR_FLOATS(KERNELS)

extern "C" __global__ void bernoulli(boolean *y, u64 seed, u64 counter, u64 n, u32 below) {
  draw(y, seed, counter, n, [=](const Words &words) {
    Pack<boolean, 4> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = boolean{u8(words[i] >> 8 < below)};
    return out;
  });
}

extern "C" __global__ void randint(i32 *y, u64 seed, u64 counter, u64 n, i64 low, u64 span) {
  draw(y, seed, counter, n, [=](const Words &words) {
    Pack<i32, 4> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = i32(low + i64((words[i] * span) >> 32));
    return out;
  });
}

// What a permutation sorts: a word for each number, and the number.
extern "C" __global__ void permutation_keys(u32 *keys, u32 *numbers, u64 seed, u64 counter, u64 n) {
  draw(keys, seed, counter, n, [=](const Words &words) { return Pack<u32, 4>{{words[0], words[1], words[2], words[3]}}; });
  for (u64 i = first(); i < n; i += step()) numbers[i] = u32(i);
}
