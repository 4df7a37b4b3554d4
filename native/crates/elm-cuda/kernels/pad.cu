// x in the middle of y, and one value around it. Every element of y is written once, in units of up to 16 bytes.
// Bandwidth bound.
#include "common.cuh"

// `pad.rs` makes it: the axes of y, how many elements come before x and how many are of x.
struct Frame {
  u32 rank;
  u32 dims[MAX_RANK], before[MAX_RANK], sizes[MAX_RANK];
  i64 strides[MAX_RANK];
};

template <typename T> __device__ T repeated(u64 bits) { return T(bits); }
template <> __device__ ulonglong2 repeated<ulonglong2>(u64 bits) { return make_ulonglong2(bits, bits); }

template <typename T> __device__ void pad(T *y, const T *x, const Frame &frame, u64 n, u64 bits) {
  T value = repeated<T>(bits);
  for (u64 i = first(); i < n; i += step()) {
    i64 at = 0;
    bool inside = true;
    u64 rest = i;
    for (int axis = int(frame.rank) - 1; axis >= 0; --axis) {
      u64 next = rest <= 0xFFFFFFFFu ? u64(u32(rest) / frame.dims[axis]) : rest / frame.dims[axis];
      // Before the start it wraps around to a number past the end.
      u32 index = u32(rest - next * frame.dims[axis]) - frame.before[axis];
      inside &= index < frame.sizes[axis];
      at += i64(index) * frame.strides[axis];
      rest = next;
    }
    y[i] = inside ? x[at] : value;
  }
}

#define WIDTH(N, T)                                                                                                    \
  extern "C" __global__ void pad_##N(T *y, const T *x, Frame frame, u64 n, u64 bits) { pad(y, x, frame, n, bits); }
WIDTH(1, u8)
WIDTH(2, uint16_t)
WIDTH(4, u32)
WIDTH(8, u64)
WIDTH(16, ulonglong2)
