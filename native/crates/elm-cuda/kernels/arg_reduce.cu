// Positions of extremes along an axis or in the whole tensor; reduce.cuh says how.
#include "reduce.cuh"

constexpr u32 NOWHERE = 0xFFFFFFFFu;

// A value and where it stands.
template <typename K> struct Found {
  K key;
  u32 place;
};
template <typename K> __device__ __forceinline__ Found<K> exchange(Found<K> value, int lane) {
  return {exchange(value.key, lane), exchange(value.place, lane)};
}

// NaN goes before any number, and among equals the first does.
template <typename T, bool LARGEST> struct Search {
  using In = T;
  using A = Found<Acc<T>>;
  static __device__ __forceinline__ A none() { return {0, NOWHERE}; }
  static __device__ __forceinline__ A of(T x, u64 place) { return {widen(x), u32(place)}; }
  static __device__ __forceinline__ A join(A a, A b) {
    if (a.place == NOWHERE || b.place == NOWHERE) return a.place == NOWHERE ? b : a;
    bool nan_a = a.key != a.key, nan_b = b.key != b.key;
    if (nan_a != nan_b) return nan_a ? a : b;
    if (nan_a || a.key == b.key) return a.place < b.place ? a : b;
    return (a.key > b.key) == LARGEST ? a : b;
  }
  template <typename Y> static __device__ __forceinline__ Y finish(A a, u64) { return Y(a.place); }
};
template <typename T> using Most = Search<T, true>;
template <typename T> using Least = Search<T, false>;

#define POSITIONS(T)                                                                                                   \
  REDUCTION(argmax, Most, T, i32)                                                                                      \
  REDUCTION(argmin, Least, T, i32)
FOR_NUMBERS(POSITIONS)
