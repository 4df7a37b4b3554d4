// Positions drawn with given probabilities, one block a row for what needs a whole row.
//
// With replacement: running sums of a row, then each draw is the first position whose sum exceeds its part of the whole.
// Without: a race of exponential clocks, −ln(u) / p for each position; the first to come in are found one by one where
// few are wanted, else by sorting the row (bitonic, in place, n log² n). Bound by the arithmetic of Philox and of the
// logarithm, which has the bits of the CPU.
#include "philox.cuh"

constexpr u32 BLOCK = 1024;

// A report of this row, from all threads of the block or from none.
__device__ __forceinline__ void report_row(u64 *word) {
  if (threadIdx.x == 0) report(word, blockIdx.x, 0);
}

__device__ __forceinline__ bool is_fit(f64 p) { return p >= 0 && p < INFINITY; }

// running[row][j] = Σ_{i ≤ j} p[i] in f64. A thread sums a part of the row; the parts are added up in order, so the sums
// never fall from one position to the next. Where a row cannot be drawn from, its last sum becomes 0.
template <typename T> __device__ void running_sums(f64 *running, const T *x, u64 n, u64 *word) {
  __shared__ f64 starts[BLOCK];
  __shared__ f64 total;
  running += blockIdx.x * n;
  x += blockIdx.x * n;
  u64 each = (n + BLOCK - 1) / BLOCK, begin = threadIdx.x * each, end = min(begin + each, n);
  f64 sum = 0;
  int bad = 0;
  for (u64 i = begin; i < end; ++i) {
    f64 p = widen(x[i]);
    bad |= !is_fit(p);
    sum += p;
  }
  starts[threadIdx.x] = sum;
  bad = __syncthreads_or(bad);
  if (threadIdx.x == 0) {
    f64 before = 0;
    for (u32 i = 0; i < BLOCK; ++i) {
      f64 part = starts[i];
      starts[i] = before;
      before += part;
    }
    total = before;
  }
  __syncthreads();
  if (bad || !(total > 0 && total < INFINITY)) {
    report_row(word);
    if (threadIdx.x == 0) running[n - 1] = 0;
    return;
  }
  f64 before = starts[threadIdx.x];
  sum = 0;
  for (u64 i = begin; i < end; ++i) {
    sum += widen(x[i]);
    running[i] = before + sum;
  }
}

// One thread a draw, `draws` in all, `count` of a row.
extern "C" __global__ void multinomial_pick(i32 *y, const f64 *running, u64 seed, u64 counter, u64 draws, u64 count,
                                            u64 n) {
  for (u64 i = first(); i < draws; i += step()) {
    const f64 *sums = running + i / count * n;
    f64 sum = sums[n - 1];
    u32 word = philox(seed, counter + i / 4)[i % 4];
    f64 target = __dmul_rn(__dmul_rn(__uint2double_rn(word >> 8), 1.0 / 16777216.0), sum);
    u64 low = 0, high = n - 1;
    while (low < high) {
      u64 middle = (low + high) / 2;
      if (sums[middle] <= target) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    y[i] = sum > 0 ? i32(low) : 0;
  }
}

// When a position comes in; earlier positions win ties. Times are not negative, so their bits are in their order.
struct Arrival {
  u64 time;
  u32 position;
};
__device__ __forceinline__ bool before(const Arrival &a, const Arrival &b) {
  return a.time < b.time || (a.time == b.time && a.position < b.position);
}
struct Earlier {
  __device__ __forceinline__ Arrival operator()(const Arrival &a, const Arrival &b) const { return before(b, a) ? b : a; }
};
__device__ __forceinline__ Arrival never() { return Arrival{~u64(0), ~u32(0)}; }

__device__ Arrival earliest(Arrival mine) {
  __shared__ Arrival partial[WARP];
  auto of_warp = [](Arrival value) {
    for (int lane = WARP / 2; lane > 0; lane /= 2) {
      Arrival other;
      other.time = __shfl_xor_sync(0xFFFFFFFFu, value.time, lane);
      other.position = __shfl_xor_sync(0xFFFFFFFFu, value.position, lane);
      value = Earlier{}(value, other);
    }
    return value;
  };
  mine = of_warp(mine);
  __syncthreads();
  if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = mine;
  __syncthreads();
  return of_warp(partial[threadIdx.x % WARP]);
}

// The times of a row, and whether it has only fit probabilities, at least `count` of them positive.
template <typename T> __device__ bool race(u64 *times, const T *x, u64 seed, u64 counter, u64 n, u64 count) {
  __shared__ u64 positive;
  if (threadIdx.x == 0) positive = 0;
  __syncthreads();
  u64 start = blockIdx.x * n, alive = 0;
  int bad = 0;
  // The words of a row begin anywhere in a block of four.
  for (u64 block = start / 4 + threadIdx.x; block * 4 < start + n; block += BLOCK) {
    Words words = philox(seed, counter + block);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      u64 at = block * 4 + i;
      if (at < start || at >= start + n) continue;
      f64 p = widen(x[at]);
      bad |= !is_fit(p);
      alive += p > 0;
      f64 time = p > 0 ? __ddiv_rn(-exact_ln(open_unit(words[i])), p) : f64(INFINITY);
      times[at - start] = u64(__double_as_longlong(time));
    }
  }
  if (alive > 0) atomicAdd(reinterpret_cast<unsigned long long *>(&positive), (unsigned long long)(alive));
  // Also orders the times before their readers.
  bad = __syncthreads_or(bad);
  return !bad && positive >= count;
}

// For few draws: each takes the earliest of those that come after the one before.
template <typename T>
__device__ void multinomial_few(i32 *y, const T *x, u64 *times, u64 seed, u64 counter, u64 n, u64 count, u64 *word) {
  times += blockIdx.x * n;
  y += blockIdx.x * count;
  if (!race(times, x, seed, counter, n, count)) {
    report_row(word);
    for (u64 i = threadIdx.x; i < count; i += BLOCK) y[i] = 0;
    return;
  }
  Arrival last{0, 0};
  for (u64 draw = 0; draw < count; ++draw) {
    Arrival mine = never();
    for (u64 i = threadIdx.x; i < n; i += BLOCK) {
      Arrival arrival{times[i], u32(i)};
      if (draw == 0 || before(last, arrival)) mine = Earlier{}(mine, arrival);
    }
    last = earliest(mine);
    if (threadIdx.x == 0) y[draw] = i32(last.position);
  }
}

// For many draws: the row is sorted, padded to `width`, a power of two.
template <typename T>
__device__ void multinomial_many(i32 *y, const T *x, u64 *times, u32 *positions, u64 seed, u64 counter, u64 n, u64 count,
                                 u64 width, u64 *word) {
  times += blockIdx.x * width;
  positions += blockIdx.x * width;
  y += blockIdx.x * count;
  if (!race(times, x, seed, counter, n, count)) {
    report_row(word);
    for (u64 i = threadIdx.x; i < count; i += BLOCK) y[i] = 0;
    return;
  }
  for (u64 i = threadIdx.x; i < width; i += BLOCK) {
    positions[i] = i < n ? u32(i) : never().position;
    if (i >= n) times[i] = never().time;
  }
  __syncthreads();
  for (u64 size = 2; size <= width; size *= 2) {
    for (u64 far = size / 2; far > 0; far /= 2) {
      for (u64 pair = threadIdx.x; pair < width / 2; pair += BLOCK) {
        u64 a = pair / far * 2 * far + pair % far, b = a + far;
        Arrival left{times[a], positions[a]}, right{times[b], positions[b]};
        bool rising = (a & size) == 0;
        if (before(right, left) != rising) continue;
        times[a] = right.time;
        positions[a] = right.position;
        times[b] = left.time;
        positions[b] = left.position;
      }
      __syncthreads();
    }
  }
  for (u64 i = threadIdx.x; i < count; i += BLOCK) y[i] = i32(positions[i]);
}

#define KERNELS(T)                                                                                                     \
  extern "C" __global__ void __launch_bounds__(BLOCK)                                                                  \
      multinomial_sums_##T(f64 *running, const T *x, u64 n, u64 *word) {                                               \
    running_sums(running, x, n, word);                                                                                 \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(BLOCK)                                                                  \
      multinomial_few_##T(i32 *y, const T *x, u64 *times, u64 seed, u64 counter, u64 n, u64 count, u64 *word) {        \
    multinomial_few(y, x, times, seed, counter, n, count, word);                                                       \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(BLOCK)                                                                  \
      multinomial_many_##T(i32 *y, const T *x, u64 *times, u32 *positions, u64 seed, u64 counter, u64 n, u64 count,    \
                           u64 width, u64 *word) {                                                                     \
    multinomial_many(y, x, times, positions, seed, counter, n, count, width, word);                                    \
  }
FOR_FLOATS(KERNELS)
