// loss = ce + z over rows of logits (cross_entropy.cuh has the formulas), the gradient, and the sums over rows.
//
// A team of threads a row, as in row.cuh. Bandwidth bound: forward one read an element, backward one read and one write.
#include "cross_entropy.cuh"

template <typename T, int N, int K>
__device__ __forceinline__ void forward(Acc<T> *lse, f64 *sums, const T *logits, const i32 *targets, u64 *word,
                                        const Loss &loss, u32 classes, const Team &team) {
  Kept<T, N, K> row(team, logits + team.row * classes, classes, is_aligned(logits));
  i32 target = targets[team.row];
  bool counting = counts(loss, target, classes, word, team.row);
  auto own = loss_row(sums + 2 * team.row, row, classes, counting, target, loss, team);
  if (team.rank == 0 && lse) lse[team.row] = own;
}

template <typename T, int N>
__device__ __forceinline__ void backward(T *out, const Acc<T> *grad, const T *logits, const i32 *targets,
                                         const Acc<T> *lse, u64 *word, const Loss &loss, u32 classes, const Team &team) {
  using A = Acc<T>;
  i32 target = targets[team.row];
  bool counting = counts(loss, target, classes, word, team.row), in = is_aligned(logits), aligned = is_aligned(out);
  Gradient<A> gradient(loss, lse[team.row], *grad, counting, target, classes);
  out += team.row * classes;
  each_pack<T, N>(team, logits + team.row * classes, classes, in, [&](u32 at, const Pack<T, N> &pack) {
    Pack<T, N> all;
#pragma unroll
    for (int j = 0; j < N; ++j) all[j] = narrow<T>(gradient(A(widen(pack[j])), at + j));
    store<T, N>(out + at, all, aligned);
  });
}

// loss, ce and z of all rows by one block; what is null is not wanted.
template <typename A> __device__ void total(A *loss, A *ce, A *z, const f64 *sums, u64 rows) {
  Two<f64> sum = {0, 0};
#pragma unroll 4
  for (u64 row = threadIdx.x; row < rows; row += blockDim.x) {
    sum.first += sums[2 * row];
    sum.second += sums[2 * row + 1];
  }
  sum = block_all(sum, AddTwo{}, Two<f64>{0, 0});
  if (threadIdx.x != 0) return;
  if (loss) *loss = A(sum.first + sum.second);
  if (ce) *ce = A(sum.first);
  if (z) *z = A(sum.second);
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      cross_entropy_##T(Acc<T> *lse, f64 *sums, const T *logits, const i32 *targets, u64 *word, Loss loss, u64 rows,   \
                        u32 classes, u32 size) {                                                                       \
    Team team = team_of(size);                                                                                         \
    if (team.row >= rows) return;                                                                                      \
    with_packs<T, KEPT>(team, classes, [&](auto n, auto k) {                                                           \
      forward<T, n.value, k.value>(lse, sums, logits, targets, word, loss, classes, team);                             \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(1024)                                                                   \
      cross_entropy_backward_##T(T *out, const Acc<T> *grad, const T *logits, const i32 *targets, const Acc<T> *lse,   \
                                 u64 *word, Loss loss, u64 rows, u32 classes, u32 size) {                              \
    Team team = team_of(size);                                                                                         \
    if (team.row >= rows) return;                                                                                      \
    if (in_packs<T>(classes))                                                                                          \
      backward<T, PACK<T>>(out, grad, logits, targets, lse, word, loss, classes, team);                                \
    else                                                                                                               \
      backward<T, 1>(out, grad, logits, targets, lse, word, loss, classes, team);                                      \
  }
FOR_FLOATS(KERNELS)

extern "C" __global__ void cross_entropy_total_f64(f64 *loss, f64 *ce, f64 *z, const f64 *sums, u64 rows) {
  total(loss, ce, z, sums, rows);
}
extern "C" __global__ void cross_entropy_total_f32(f32 *loss, f32 *ce, f32 *z, const f64 *sums, u64 rows) {
  total(loss, ce, z, sums, rows);
}
