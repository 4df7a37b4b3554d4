// Sums, products, means, extremes, tests and log-sum-exps over any axes; reduce.cuh says how.
#include "integer.cuh"
#include "partition.cuh"
#include "reduce.cuh"

template <typename T, typename Accumulator> struct Values {
  using In = T;
  using A = Accumulator;
  static __device__ __forceinline__ A of(T x, u64) { return A(widen(x)); }
  template <typename Y> static __device__ __forceinline__ Y finish(A a, u64) { return narrow<Y>(a); }
};

template <typename T> struct Sum : Values<T, Acc<T>> {
  using A = Acc<T>;
  static __device__ __forceinline__ A none() { return 0; }
  static __device__ __forceinline__ A join(A a, A b) {
    if constexpr (IS_INT<A>) return wrapping_add(a, b);
    else return a + b;
  }
};
template <typename T> struct Product : Values<T, Acc<T>> {
  using A = Acc<T>;
  static __device__ __forceinline__ A none() { return 1; }
  static __device__ __forceinline__ A join(A a, A b) {
    if constexpr (IS_INT<A>) return wrapping_mul(a, b);
    else return a * b;
  }
};
template <typename T> struct Mean : Sum<T> {
  template <typename Y> static __device__ __forceinline__ Y finish(Acc<T> a, u64 count) {
    return narrow<Y>(a / Acc<T>(count));
  }
};
template <typename T> struct Largest : Values<T, Acc<T>> {
  using A = Acc<T>;
  static __device__ __forceinline__ A none() {
    if constexpr (IS_INT<A>) return INT64_MIN;
    else return A(-INFINITY);
  }
  static __device__ __forceinline__ A join(A a, A b) { return Max{}(a, b); }
};
template <typename T> struct Smallest : Values<T, Acc<T>> {
  using A = Acc<T>;
  static __device__ __forceinline__ A none() {
    if constexpr (IS_INT<A>) return INT64_MAX;
    else return A(INFINITY);
  }
  static __device__ __forceinline__ A join(A a, A b) { return Min{}(a, b); }
};

// NaN is not 0.
template <typename T> struct Test : Values<T, u32> {
  static __device__ __forceinline__ u32 of(T x, u64) { return widen(x) != 0; }
  template <typename Y> static __device__ __forceinline__ Y finish(u32 a, u64) { return boolean{u8(a)}; }
};
template <typename T> struct Any : Test<T> {
  static __device__ __forceinline__ u32 none() { return 0; }
  static __device__ __forceinline__ u32 join(u32 a, u32 b) { return a | b; }
};
template <typename T> struct All : Test<T> {
  static __device__ __forceinline__ u32 none() { return 1; }
  static __device__ __forceinline__ u32 join(u32 a, u32 b) { return a & b; }
};

template <typename T> struct LogSumExp {
  using In = T;
  using A = Partition<Acc<T>>;
  static __device__ __forceinline__ A none() { return A::none(); }
  static __device__ __forceinline__ A of(T x, u64) {
    Acc<T> value = widen(x);
    // NaN is no largest element; the sum has it.
    return value != value ? A{Acc<T>(-INFINITY), value} : A{value, Acc<T>(value != Acc<T>(-INFINITY))};
  }
  static __device__ __forceinline__ A join(A a, A b) { return JoinPartitions{}(a, b); }
  template <typename Y> static __device__ __forceinline__ Y finish(A a, u64) { return narrow<Y>(a.log_sum()); }
};

#define NUMBERS(T, Y)                                                                                                  \
  REDUCTION(sum, Sum, T, Y)                                                                                            \
  REDUCTION(prod, Product, T, Y)                                                                                       \
  REDUCTION(max, Largest, T, T)                                                                                        \
  REDUCTION(min, Smallest, T, T)
NUMBERS(f64, f64)
NUMBERS(f32, f32)
NUMBERS(bf16, bf16)
NUMBERS(f16, f16)
NUMBERS(i64, i64)
NUMBERS(i32, i64)
NUMBERS(u32, i64)
NUMBERS(i8, i64)
NUMBERS(u8, i64)

#define REALS(T)                                                                                                       \
  REDUCTION(mean, Mean, T, T)                                                                                          \
  REDUCTION(logsumexp, LogSumExp, T, T)
FOR_FLOATS(REALS)

#define TESTS(T)                                                                                                       \
  REDUCTION(any, Any, T, boolean)                                                                                      \
  REDUCTION(all, All, T, boolean)
FOR_FLOATS(TESTS)
TESTS(i64)
TESTS(i32)
TESTS(u8)
