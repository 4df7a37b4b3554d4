// values, indices = the elements along an axis in order and their places, or the first `keep` of them.
//
// A block sorts a tile of a line in shared memory. Lines of several tiles leave them as runs, which are merged two by two:
// the position of an entry is its own plus the number of entries before it in the other run. Runs hold no more than
// `keep` entries. Bound by shared memory and, for merges, by the latency of the searches.
#include "sort.cuh"

template <typename T> struct EntryOf { using type = Short; };
template <> struct EntryOf<f64> { using type = Long; };
template <> struct EntryOf<i64> { using type = Long; };

// Ranks rise with the numbers: bits of positive floats do, those of negative ones fall; adding 0 makes −0 into 0.
__device__ __forceinline__ u32 rank_of(f32 x) {
  u32 bits = __float_as_uint(x + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ u64 rank_of(f64 x) {
  u64 bits = u64(__double_as_longlong(x + 0.0));
  return bits >> 63 ? ~bits : bits | (u64(1) << 63);
}
__device__ __forceinline__ u32 rank_of(bf16 x) { return rank_of(__bfloat162float(x)); }
__device__ __forceinline__ u32 rank_of(f16 x) { return rank_of(__half2float(x)); }
__device__ __forceinline__ u64 rank_of(i64 x) { return u64(x) ^ (u64(1) << 63); }
__device__ __forceinline__ u32 rank_of(i32 x) { return u32(x) ^ 0x80000000u; }
__device__ __forceinline__ u32 rank_of(u32 x) { return x; }
__device__ __forceinline__ u32 rank_of(i8 x) { return rank_of(i32(x)); }
__device__ __forceinline__ u32 rank_of(u8 x) { return x; }

// NaN is last in either direction.
template <typename T> __device__ __forceinline__ typename EntryOf<T>::type entry_of(T x, u32 place, u32 descending) {
  auto rank = rank_of(x);
  if (descending) rank = ~rank;
  auto value = widen(x);
  if (value != value) rank = ~decltype(rank)(0);
  return entry<typename EntryOf<T>::type>(rank, place);
}

// Lines that lie `inner` apart, and what is kept of each.
struct Lines {
  u32 length, keep;
  u64 inner;

  __device__ __forceinline__ u64 source(u64 line) const { return line / inner * length * inner + line % inner; }
  __device__ __forceinline__ u64 target(u64 line) const { return line / inner * keep * inner + line % inner; }
};

template <typename T>
__device__ __forceinline__ void write(T *values, i32 *indices, const T *x, const Lines &lines, u64 line, u32 i, u32 place) {
  u64 at = lines.target(line) + i * lines.inner;
  if (values) values[at] = x[lines.source(line) + place * lines.inner];
  if (indices) indices[at] = i32(place);
}

// Tile `blockIdx.x % tiles` of line `blockIdx.x / tiles`.
template <typename T, typename E = typename EntryOf<T>::type>
__device__ void sort_tile(T *values, i32 *indices, E *runs, const T *x, const Lines &lines, u32 descending, u32 size,
                          u32 tiles) {
  extern __shared__ __align__(16) unsigned char memory[];
  E *entries = reinterpret_cast<E *>(memory);
  u64 line = blockIdx.x / tiles;
  u32 from = blockIdx.x % tiles * size;
  u32 valid = min(size, lines.length - from), kept = min(valid, lines.keep);
  const T *source = x + lines.source(line);
  sort_shared(entries, size, valid,
              [&](u32 i) { return entry_of(source[(from + i) * lines.inner], from + i, descending); });
  if (tiles == 1) {
    for (u32 i = threadIdx.x; i < kept; i += blockDim.x)
      write(values, indices, x, lines, line, i, place_of(entries[i]));
  } else {
    runs += u64(blockIdx.x) * min(size, lines.keep);
    for (u32 i = threadIdx.x; i < kept; i += blockDim.x) runs[i] = entries[i];
  }
}

// Merges runs 2i and 2i + 1 of each line; each is what is kept of `span` elements.
template <typename E>
__device__ void merge(E *to, const E *from, u64 lines, u32 length, u32 keep, u32 span) {
  u32 runs = (u64(length) + span - 1) / span, merged = (runs + 1) / 2;
  u32 pitch = min(span, keep), wide = u32(min(2 * u64(span), u64(keep)));
  // Runs are shorter than their pitch only at the end of a line.
  auto size_of = [&](u32 run) { return run < runs ? min(u32(min(u64(span), length - u64(run) * span)), keep) : 0u; };
  for (u64 slot = first(); slot < lines * runs * pitch; slot += step()) {
    u32 i = slot % pitch, run = slot / pitch % runs;
    u64 line = slot / pitch / runs;
    if (i >= size_of(run)) continue;
    E own = from[slot];
    const E *other = from + (line * runs + (run ^ 1)) * pitch;
    u32 at = i + count_before(other, size_of(run ^ 1), own);
    if (at < keep) to[(line * merged + run / 2) * wide + at] = own;
  }
}

// The outputs of lines that were merged to one run.
template <typename T, typename E = typename EntryOf<T>::type>
__device__ void finish(T *values, i32 *indices, const E *runs, const T *x, const Lines &lines, u64 count) {
  for (u64 slot = first(); slot < count * lines.keep; slot += step())
    write(values, indices, x, lines, slot / lines.keep, u32(slot % lines.keep), place_of(runs[slot]));
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void sort_##T(T *values, i32 *indices, typename EntryOf<T>::type *runs, const T *x, u32 length, \
                                      u32 keep, u64 inner, u32 descending, u32 size, u32 tiles) {                      \
    sort_tile(values, indices, runs, x, Lines{length, keep, inner}, descending, size, tiles);                          \
  }                                                                                                                    \
  extern "C" __global__ void sort_finish_##T(T *values, i32 *indices, const typename EntryOf<T>::type *runs,           \
                                             const T *x, u32 length, u32 keep, u64 inner, u64 lines) {                 \
    finish(values, indices, runs, x, Lines{length, keep, inner}, lines);                                               \
  }
FOR_NUMBERS(KERNELS)

extern "C" __global__ void sort_merge_short(Short *to, const Short *from, u64 lines, u32 length, u32 keep, u32 span) {
  merge(to, from, lines, length, keep, span);
}
extern "C" __global__ void sort_merge_long(Long *to, const Long *from, u64 lines, u32 length, u32 keep, u32 span) {
  merge(to, from, lines, length, keep, span);
}
