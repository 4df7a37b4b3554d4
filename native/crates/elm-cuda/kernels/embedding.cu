// y[p, :] = weight[ids[p], :], and the gradient dweight[r, :] = Σ_{ids[p] = r} grad[p, :].
//
// Forward a warp copies a row. Backward the positions are sorted by id, stably; then a warp has 32 packs of a row of the
// result, finds its group by a search and adds it in order. Bandwidth bound.
#include "row.cuh"
#include "sort.cuh"

template <typename T>
__device__ void gather(T *y, const T *weight, const i32 *ids, u64 *word, u64 positions, u32 rows, u32 dim) {
  Team team = team_of(WARP);
  if (team.row >= positions) return;
  i32 id = ids[team.row];
  if (id < 0 || u32(id) >= rows) {
    if (team.rank == 0) report(word, team.row, id);
    return;
  }
  const T *from = weight + u64(id) * dim;
  T *to = y + team.row * dim;
  constexpr int N = PACK<T>;
  if (in_packs<T>(dim) && is_aligned(weight) && is_aligned(y)) {
#pragma unroll 4
    for (u32 i = team.rank * N; i < dim; i += WARP * N) store<T, N>(to + i, load<T, N>(from + i, true), true);
  } else {
#pragma unroll 4
    for (u32 i = team.rank; i < dim; i += WARP) to[i] = from[i];
  }
}

#define WIDTH(N, T)                                                                                                    \
  extern "C" __global__ void embedding_##N(T *y, const T *weight, const i32 *ids, u64 *word, u64 positions, u32 rows,  \
                                           u32 dim) {                                                                  \
    gather(y, weight, ids, word, positions, rows, dim);                                                                \
  }
WIDTH(2, uint16_t)
WIDTH(4, u32)
WIDTH(8, u64)

// A sorted run of entries of `size` positions; an id that names no row goes behind all that do.
extern "C" __global__ void embedding_sort(Short *runs, const i32 *ids, u64 *word, u32 positions, u32 rows, u32 size) {
  extern __shared__ __align__(16) unsigned char memory[];
  Short *entries = reinterpret_cast<Short *>(memory);
  u32 from = blockIdx.x * size, valid = min(size, positions - from);
  sort_shared(entries, size, valid, [&](u32 i) {
    i32 id = ids[from + i];
    bool bad = id < 0 || u32(id) >= rows;
    if (bad) report(word, from + i, id);
    return entry<Short>(bad ? rows : u32(id), from + i);
  });
  for (u32 i = threadIdx.x; i < valid; i += blockDim.x) runs[from + i] = entries[i];
}

// Warp w has packs 32 · (w mod slabs) … of row w / slabs.
template <typename T, typename Y, int N>
__device__ __forceinline__ void sum_groups(Y *dweight, const T *grad, const Short *sorted, u32 positions, u32 rows, u32 dim,
                                           i64 padding) {
  using A = Acc<T>;
  Team team = team_of(WARP);
  u32 slabs = (dim + WARP * N - 1) / (WARP * N);
  u64 row = team.row / slabs;
  u32 at = (u32(team.row % slabs) * WARP + team.rank) * N;
  if (row >= rows || at >= dim) return;
  bool in = is_aligned(grad), out = is_aligned(dweight);
  u32 from = count_before(sorted, positions, entry<Short>(row, 0));
  u32 to = i64(row) == padding ? from : from + count_before(sorted + from, positions - from, entry<Short>(row + 1, 0));
  A sums[N];
#pragma unroll
  for (int j = 0; j < N; ++j) sums[j] = 0;
#pragma unroll 4
  for (u32 i = from; i < to; ++i) {
    auto pack = load<T, N>(grad + u64(place_of(sorted[i])) * dim + at, in);
#pragma unroll
    for (int j = 0; j < N; ++j) sums[j] += A(widen(pack[j]));
  }
  Pack<Y, N> all;
#pragma unroll
  for (int j = 0; j < N; ++j) all[j] = narrow<Y>(sums[j]);
  store<Y, N>(dweight + row * dim + at, all, out);
}

#define GROUPS(T, Y)                                                                                                   \
  extern "C" __global__ void embedding_sums_##T##_##Y(Y *dweight, const T *grad, const Short *sorted, u32 positions,   \
                                                      u32 rows, u32 dim, i64 padding) {                                \
    if (in_packs<T>(dim))                                                                                              \
      sum_groups<T, Y, PACK<T>>(dweight, grad, sorted, positions, rows, dim, padding);                                 \
    else                                                                                                               \
      sum_groups<T, Y, 1>(dweight, grad, sorted, positions, rows, dim, padding);                                       \
  }
GROUPS(f64, f64)
GROUPS(f32, f32)
GROUPS(bf16, bf16)
GROUPS(f16, f16)
GROUPS(bf16, f32)
GROUPS(f16, f32)
