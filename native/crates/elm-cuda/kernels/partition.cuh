// Σ e^x of a row without overflow: the largest element and the sum with it taken out.
#pragma once
#include <cmath>

#include "row.cuh"

// e^x for x that is a difference, whose own rounding is an error of |x| roundings already.
__device__ __forceinline__ f32 exp_of(f32 x) { return exp2f(x * 1.44269504088896341f); }
__device__ __forceinline__ f64 exp_of(f64 x) { return exp(x); }

template <typename A> struct Partition {
  A most, sum;

  static __device__ __forceinline__ Partition none() { return {A(-INFINITY), A(0)}; }

  // What is taken out of exponents: nothing while no finite element was met, since ∞ − ∞ is not a number.
  static __device__ __forceinline__ A shift(A most) { return isinf(most) ? A(0) : most; }

  // fmax leaves NaN aside, but the sum has it.
  __device__ __forceinline__ void add(A x) {
    A next = fmax(most, x);
    if (next != most) sum *= exp_of(most - next);
    most = next;
    sum += exp_of(x - shift(most));
  }

  // The same of values that are all at hand.
  template <typename T, int N, int K>
  __device__ __forceinline__ void add(const Team &team, Kept<T, N, K> &row, u32 dim) {
    each_kept(team, dim, [&](u32, const Pack<T, N> &pack) {
#pragma unroll
      for (int j = 0; j < N; ++j) most = fmax(most, A(widen(pack[j])));
    }, row);
    A out = shift(most);
    each_kept(team, dim, [&](u32, const Pack<T, N> &pack) {
#pragma unroll
      for (int j = 0; j < N; ++j) sum += exp_of(A(widen(pack[j])) - out);
    }, row);
  }

  __device__ __forceinline__ A log_sum() const { return most + log(sum); }
};

template <typename A> __device__ __forceinline__ Partition<A> exchange(Partition<A> value, int lane) {
  return {exchange(value.most, lane), exchange(value.sum, lane)};
}

struct JoinPartitions {
  template <typename A> __device__ __forceinline__ Partition<A> operator()(Partition<A> a, Partition<A> b) const {
    A most = fmax(a.most, b.most);
    A left = a.most == most ? a.sum : a.sum * exp_of(a.most - most);
    A right = b.most == most ? b.sum : b.sum * exp_of(b.most - most);
    return {most, left + right};
  }
};
