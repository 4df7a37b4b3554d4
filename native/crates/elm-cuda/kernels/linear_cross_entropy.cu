// Between the products of a chunk of rows: the loss of each row of logits, which is then turned into its gradient.
//
// A team of threads a row, as in row.cuh, which keeps the row between the two. The launcher has the products. Bandwidth
// bound: one read and one write an element.
#include "cross_entropy.cuh"

// Beyond this logits are read twice; f32 rows of common vocabularies are not.
constexpr int KEPT_LOGITS = 8;

// Rows begin `pitch` apart in both matrices. `gradient` may lie where the logits do if it has their type; null asks for the
// loss alone. Targets and sums are those of the chunk, `before` the rows before it.
template <typename X, typename G, int N, int K>
__device__ __forceinline__ void row_of(f64 *sums, G *gradient, const X *logits, const i32 *targets, u64 *word, u64 before,
                                       const Loss &loss, u32 classes, u32 pitch, const Team &team) {
  i32 target = targets[team.row];
  bool counting = counts(loss, target, classes, word, before + team.row), aligned = is_aligned(logits);
  Kept<X, N, K> row(team, logits + team.row * pitch, classes, aligned);
  X lse = loss_row(sums + 2 * team.row, row, classes, counting, target, loss, team);
  if (gradient == nullptr) return;
  G *out = gradient + team.row * pitch;
  Gradient<X> of(loss, lse, X(1), counting, target, classes);
  auto write = [&](u32 at, const Pack<X, N> &pack) {
    Pack<G, N> all;
#pragma unroll
    for (int j = 0; j < N; ++j) all[j] = narrow<G>(of(pack[j], at + j));
    store<G, N>(out + at, all, aligned);
  };
  each_kept(team, classes, write, row);
}

#define KERNELS(X, G)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      linear_cross_entropy_##X##_##G(f64 *sums, G *gradient, const X *logits, const i32 *targets, u64 *word,           \
                                     u64 before, Loss loss, u64 rows, u32 classes, u32 pitch, u32 size) {              \
    Team team = team_of(size);                                                                                         \
    if (team.row >= rows) return;                                                                                      \
    with_packs<X, KEPT_LOGITS>(team, classes, [&](auto n, auto k) {                                                    \
      row_of<X, G, n.value, k.value>(sums, gradient, logits, targets, word, before, loss, classes, pitch, team);       \
    });                                                                                                                \
  }
KERNELS(f64, f64)
KERNELS(f32, f32)
KERNELS(f32, bf16)

// Products want factors of one type: f16 is widened where the gradient of logits stays in f32, and the result narrowed.
extern "C" __global__ void widen_f16(f32 *to, const f16 *from, u64 n) {
  for (u64 i = first(); i < n; i += step()) to[i] = widen(from[i]);
}
extern "C" __global__ void narrow_f16(f16 *to, const f32 *from, u64 n) {
  for (u64 i = first(); i < n; i += step()) to[i] = narrow<f16>(from[i]);
}
