// Rows of the cross-entropy with its penalty: what every op with this loss shares.
#pragma once
#include "partition.cuh"

// `loss.rs` makes it.
struct Loss {
  i64 ignore;
  f64 z_loss;
  // What an ignored position adds to z.
  f64 constant;
  f64 smoothing;
};

// Whether a target counts. One that counts but is no class is reported and handled as if it did not.
__device__ __forceinline__ bool counts(const Loss &loss, i32 target, u32 classes, u64 *word, u64 position) {
  if (i64(target) == loss.ignore) return false;
  if (target >= 0 && u32(target) < classes) return true;
  report(word, position, target);
  return false;
}

// The gradient of a logit: grad · (p · (1 + 2 · z_loss · lse) − (1 − ε) · onehot − ε / V).
template <typename A> struct Gradient {
  A lse, slope, spread, hit;
  // −1 in a row that does not count.
  i64 target;

  __device__ __forceinline__ Gradient(const Loss &loss, A lse, A grad, bool counts, i32 target, u32 classes)
      : lse(lse), target(counts ? target : -1) {
    slope = grad * (A(1) + A(2 * loss.z_loss) * lse);
    spread = grad * A(loss.smoothing / classes);
    hit = grad * A(1 - loss.smoothing);
  }
  __device__ __forceinline__ A operator()(A x, u32 column) const {
    if (target < 0) return 0;
    A value = exp_of(x - lse) * slope - spread;
    return column == u64(target) ? value - hit : value;
  }
};

// The log-partition of a row, Σ logits and what the row adds to ce and z.
template <typename X, int N, int K>
__device__ __forceinline__ Acc<X> loss_row(f64 *sums, Kept<X, N, K> &row, u32 classes, bool counting, i32 target,
                                           const Loss &loss, const Team &team) {
  using A = Acc<X>;
  auto own = Partition<A>::none();
  A total = 0;
  // Read before anybody may write a gradient in its place.
  f64 of_target = team.rank == 0 && counting ? f64(widen(row.row[target])) : 0;
  auto add_all = [&](auto add) {
    each_kept(team, classes, [&](u32, const Pack<X, N> &pack) {
#pragma unroll
      for (int j = 0; j < N; ++j) add(A(widen(pack[j])));
    }, row);
  };
  if constexpr (K > 0) {
    own.add(team, row, classes);
    if (loss.smoothing != 0) add_all([&](A x) { total += x; });
  } else {
    add_all([&](A x) {
      own.add(x);
      total += x;
    });
  }
  A lse = team_all(team, own, JoinPartitions{}, Partition<A>::none()).log_sum();
  if (loss.smoothing != 0) total = team_all(team, total, Add{}, A(0));
  if (team.rank == 0) {
    f64 wide = lse;
    f64 ce = wide - (1 - loss.smoothing) * of_target;
    if (loss.smoothing != 0) ce -= loss.smoothing * (f64(total) / classes);
    sums[0] = counting ? ce : 0;
    sums[1] = counting ? loss.z_loss * wide * wide : loss.constant;
  }
  return lse;
}
