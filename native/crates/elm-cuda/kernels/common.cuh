// What kernels share: dtypes with their accumulators, walks over strided tensors, and sums over a warp or a block.
//
// f16 and bf16 are loaded, computed in f32 and stored once. Sums have a fixed order: never an atomic of floats.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

using f64 = double;
using f32 = float;
using bf16 = __nv_bfloat16;
using f16 = __half;
using i64 = int64_t;
using i32 = int32_t;
using u64 = uint64_t;
using u32 = uint32_t;
using i8 = int8_t;
using u8 = uint8_t;

constexpr int MAX_RANK = 8;
constexpr int WARP = 32;

// `M(T)` for dtypes; `NAME(T, …)` of a kernel is its name followed by `_T`.
#define FOR_FLOATS(M) M(f64) M(f32) M(bf16) M(f16)
#define FOR_INTS(M) M(i64) M(i32) M(u32) M(i8) M(u8)
#define FOR_NUMBERS(M) FOR_FLOATS(M) FOR_INTS(M)

// A bool is a byte that holds 0 or 1. Its kernels end in `_bool`, which is a keyword: macros write `M(boolean, bool)`
// by hand where they need it.
struct boolean {
  u8 value;
};

// The type that values of T are computed and summed in.
template <typename T> struct AccOf { using type = f32; };
template <> struct AccOf<f64> { using type = f64; };
template <> struct AccOf<i64> { using type = i64; };
template <> struct AccOf<i32> { using type = i64; };
template <> struct AccOf<u32> { using type = i64; };
template <> struct AccOf<i8> { using type = i64; };
template <> struct AccOf<u8> { using type = i64; };
template <> struct AccOf<boolean> { using type = i64; };
template <typename T> using Acc = typename AccOf<T>::type;

__device__ __forceinline__ f64 widen(f64 x) { return x; }
__device__ __forceinline__ f32 widen(f32 x) { return x; }
__device__ __forceinline__ f32 widen(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ f32 widen(f16 x) { return __half2float(x); }
__device__ __forceinline__ i64 widen(i64 x) { return x; }
__device__ __forceinline__ i64 widen(i32 x) { return x; }
__device__ __forceinline__ i64 widen(u32 x) { return x; }
__device__ __forceinline__ i64 widen(i8 x) { return x; }
__device__ __forceinline__ i64 widen(u8 x) { return x; }
__device__ __forceinline__ i64 widen(boolean x) { return x.value; }

// `narrow<T>(x)`: an accumulator as T, rounded to nearest even; integers wrap.
template <typename T, typename A> __device__ __forceinline__ T narrow(A x) { return static_cast<T>(x); }
template <> __device__ __forceinline__ bf16 narrow<bf16, f32>(f32 x) { return __float2bfloat16_rn(x); }
template <> __device__ __forceinline__ f16 narrow<f16, f32>(f32 x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ bf16 narrow<bf16, f64>(f64 x) { return __double2bfloat16(x); }
template <> __device__ __forceinline__ f16 narrow<f16, f64>(f64 x) { return __double2half(x); }
template <> __device__ __forceinline__ boolean narrow<boolean, bool>(bool x) { return boolean{u8(x)}; }
template <> __device__ __forceinline__ boolean narrow<boolean, i64>(i64 x) { return boolean{u8(x != 0)}; }

// Kernels that start while the kernel before them in the stream still runs (programmatic dependent launch): what starting
// takes is then hidden behind that kernel's work. Such a kernel
//
// - lets the next one start at once, and
// - waits before it touches memory, until the one before it has ended and what that wrote can be seen. Since that one
//   has waited too, all kernels before it have ended as well: memory is written, read and used again in stream order.
//
// Only a kernel that waits may be started so, and code for older chips cannot wait. Hence a kernel and the mark by which
// `function.rs` knows it are defined together: OVERLAPPING(bounds, name, (parameters), ahead, body). `ahead` runs before
// the wait and may ask for lines of memory (`fetch_line`), no more: it must not load what the kernel before may write,
// and so pointers are never `__restrict__`, which lets the compiler load through caches that do not see such writes.
#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ void let_next_start() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
__device__ __forceinline__ void wait_for_previous() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
#define OVERLAPS(NAME) extern "C" { __device__ u8 overlaps_##NAME = 1; }
#else
__device__ __forceinline__ void let_next_start() {}
__device__ __forceinline__ void wait_for_previous() {}
#define OVERLAPS(NAME)
#endif

#define OVERLAPPING(BOUNDS, NAME, PARAMETERS, AHEAD, ...)                                                              \
  OVERLAPS(NAME)                                                                                                       \
  extern "C" __global__ void BOUNDS NAME PARAMETERS {                                                                  \
    let_next_start();                                                                                                  \
    AHEAD;                                                                                                             \
    wait_for_previous();                                                                                               \
    __VA_ARGS__                                                                                                        \
  }

// Asks for the line of device memory at an address: it will lie in the second cache, where writes are seen.
__device__ __forceinline__ void fetch_line(const void *address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

// N values of T that are loaded and stored at once; the address is a multiple of their size.
template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
  T values[N];
  __device__ __forceinline__ T &operator[](int i) { return values[i]; }
  __device__ __forceinline__ const T &operator[](int i) const { return values[i]; }
};

// As many values of T as a thread moves at once.
template <typename T> constexpr int PACK = 16 / sizeof(T);

// A walk over N operands of one shape; `nd.rs` says how it is made.
template <int N> struct Nd {
  u32 rank;
  u32 dims[MAX_RANK];
  i64 strides[N][MAX_RANK];
};

// Where element `flat` (row-major) lies in each operand.
template <int N> __device__ __forceinline__ void locate(const Nd<N> &nd, u64 flat, i64 (&at)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) at[i] = 0;
  // 32-bit division is several times cheaper.
  if (flat <= 0xFFFFFFFFu) {
    u32 rest = u32(flat);
    for (int axis = int(nd.rank) - 1; axis >= 0; --axis) {
      u32 next = rest / nd.dims[axis], index = rest - next * nd.dims[axis];
#pragma unroll
      for (int i = 0; i < N; ++i) at[i] += i64(index) * nd.strides[i][axis];
      rest = next;
    }
    return;
  }
  for (int axis = int(nd.rank) - 1; axis >= 0; --axis) {
    u64 next = flat / nd.dims[axis], index = flat - next * nd.dims[axis];
#pragma unroll
    for (int i = 0; i < N; ++i) at[i] += i64(index) * nd.strides[i][axis];
    flat = next;
  }
}

// `for (u64 i = first(); i < n; i += step())`: all threads of a one-dimensional grid share the elements.
__device__ __forceinline__ u64 first() { return u64(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ u64 step() { return u64(gridDim.x) * blockDim.x; }

struct Add {
  template <typename A> __device__ __forceinline__ A operator()(A a, A b) const { return a + b; }
};
// NaN wins, as in NumPy.
struct Max {
  template <typename A> __device__ __forceinline__ A operator()(A a, A b) const { return a > b || a != a ? a : b; }
};
struct Min {
  template <typename A> __device__ __forceinline__ A operator()(A a, A b) const { return a < b || a != a ? a : b; }
};

// The value of the thread of this warp whose number differs in `lane`; headers add it for structures of theirs.
template <typename A> __device__ __forceinline__ A exchange(A value, int lane) {
  return __shfl_xor_sync(0xFFFFFFFFu, value, lane);
}

// The combination of one value of each thread of a warp, in all of them; the order is a tree, always the same.
template <typename A, typename F> __device__ __forceinline__ A warp_all(A value, F f) {
#pragma unroll
  for (int lane = WARP / 2; lane > 0; lane /= 2) value = f(value, exchange(value, lane));
  return value;
}

// The combination of one value of each thread of a block, in all of them. All threads call it; blockDim.x is a multiple
// of 32, and the block has one dimension.
template <typename A, typename F> __device__ A block_all(A value, F f, A none) {
  __shared__ A partial[WARP];
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  value = warp_all(value, f);
  if (warps == 1) return value;
  // The last use of `partial` may still be going on.
  __syncthreads();
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = lane < warps ? partial[lane] : none;
  return warp_all(value, f);
}

template <typename A> __device__ __forceinline__ A block_sum(A value) { return block_all(value, Add{}, A(0)); }

// A bad index: the first one in row-major order stays in `word` (see failure.rs).
__device__ __forceinline__ void report(u64 *word, u64 position, i32 index) {
  atomicMin(reinterpret_cast<unsigned long long *>(word), (unsigned long long)((position << 32) | u32(index)));
}

// Index `i` of an axis of `size`, negative ones counted from the end; −1 and a report if it is out of range.
__device__ __forceinline__ i64 checked(i32 i, i64 size, u64 *word, u64 position) {
  i64 at = i < 0 ? i + size : i;
  if (at >= 0 && at < size) return at;
  report(word, position, i);
  return -1;
}
