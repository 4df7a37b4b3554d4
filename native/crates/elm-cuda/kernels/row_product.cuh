// One row times columns that are straight: what a generated token takes, many times a layer.
//
// Bandwidth bound by the columns, each of whose bytes is read once, so that many of them must be on their way at any time:
// a warp has whole columns, and asks for what it multiplies next before it multiplies what it has. No thread waits for
// another one.
#pragma once
#include "few_rows.cuh"

// Warps of a block, of which a multiprocessor has one: as many as leave a thread the registers for two parts of two columns.
// `norm_product.rs` knows them.
constexpr u32 ROW_WARPS = 12;

// Where columns of `k` elements lie, `across` elements apart. A unit is a column, or one of each of two halves that are
// `half` elements apart. A column has `split` parts, whose packs are dealt out to lanes in turns.
template <typename T, int HALVES> struct Columns {
  using A = Acc<T>;
  static constexpr int N = PACK<T>;
  // Of one part of a unit.
  struct Packs {
    Pack<T, N> of[HALVES][AHEAD];
  };

  const T *b;
  i64 across, half;
  u32 units, k, split, next, stride;
  // What is read next.
  u32 unit, part;

  // Warps of all blocks have units in turns: each multiprocessor as many as the others.
  __device__ __forceinline__ Columns(const T *b, u32 units, u32 k, i64 across, u32 split)
      : b(b), across(across), half(i64(units) * across), units(units), k(k), split(split), next(split * WARP * N),
        stride(gridDim.x * ROW_WARPS), unit(first_unit()), part(0) {}

  static __device__ __forceinline__ u32 first_unit() { return threadIdx.x / WARP * gridDim.x + blockIdx.x; }

  // Where this lane's packs of a part begin.
  __device__ __forceinline__ u32 start(u32 part) const { return (part * WARP + threadIdx.x % WARP) * N; }

  __device__ __forceinline__ void read(Packs &packs) {
    if (unit >= units) return;
    u32 at = start(part);
    const T *from = b + i64(unit) * across + at;
#pragma unroll
    for (int i = 0; i < AHEAD; ++i)
      if (at + i * next < k)
#pragma unroll
        for (int h = 0; h < HALVES; ++h) packs.of[h][i] = pack_at(from + i * next + h * half);
    if (++part == split) part = 0, unit += stride;
  }

  // `done(unit, sums)` for every unit of this warp: sums of `row`, in shared memory, times its columns, of which `now` has
  // the first part. All lanes have them.
  template <typename F> __device__ __forceinline__ void multiply(const T *row, Packs &now, F done) {
    u32 p = 0;
    A sums[HALVES];
    for (u32 own = first_unit(); own < units;) {
      Packs later;
      read(later);
      A of_part[HALVES];
#pragma unroll
      for (int h = 0; h < HALVES; ++h) of_part[h] = 0;
      u32 at = start(p);
#pragma unroll
      for (int i = 0; i < AHEAD; ++i) {
        if (at + i * next < k) {
          auto v = pack_at(row + at + i * next);
#pragma unroll
          for (int h = 0; h < HALVES; ++h) add_products<T>(of_part[h], v, now.of[h][i]);
        }
      }
#pragma unroll
      for (int h = 0; h < HALVES; ++h) {
        of_part[h] = warp_all(of_part[h], Add{});
        sums[h] = p == 0 ? of_part[h] : sums[h] + of_part[h];
      }
      now = later;
      if (++p < split) continue;
      done(own, sums);
      p = 0;
      own += stride;
    }
  }
};

// Asks for what this warp will read, up to so many bytes, before it may be read: it may be about to be written.
template <int HALVES, typename T>
__device__ __forceinline__ void fetch_units(const T *b, u32 units, u32 k, i64 across, u32 bytes) {
  constexpr u32 LINE = 128;
  u32 column = k * sizeof(T), most = bytes / column, count = 0;
  for (u32 unit = threadIdx.x / WARP * gridDim.x + blockIdx.x; unit < units && count < most; unit += gridDim.x * ROW_WARPS)
    for (int h = 0; h < HALVES; ++h, ++count) {
      auto start = reinterpret_cast<const unsigned char *>(b + (i64(h) * units + unit) * across);
      for (u32 i = threadIdx.x % WARP * LINE; i < column; i += WARP * LINE) fetch_line(start + i);
    }
}
