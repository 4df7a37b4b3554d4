// y[i] = x[i] for any two layouts: strided element by element, and in tiles where an axis is turned.
//
// Bandwidth bound: one read and one write an element.
#include "common.cuh"

template <typename T> __device__ void strided(T *y, const T *x, const Nd<2> &nd, u64 n) {
  for (u64 i = first(); i < n; i += step()) {
    i64 at[2];
    locate(nd, i, at);
    y[at[0]] = x[at[1]];
  }
}

// The last axis is straight in y, axis `turned` in x. One block of 32 × 8 threads moves one tile of 32 × 32.
template <typename T> __device__ void turn(T *y, const T *x, const Nd<2> &nd, u32 turned) {
  constexpr int TILE = 32;
  __shared__ T tile[TILE][TILE + 1];
  int last = int(nd.rank) - 1;
  u32 across = (nd.dims[last] + TILE - 1) / TILE, down = (nd.dims[turned] + TILE - 1) / TILE;
  u32 rest = blockIdx.x;
  u32 column = rest % across * TILE;
  rest /= across;
  u32 row = rest % down * TILE;
  rest /= down;
  for (int axis = last - 1; axis >= 0; --axis) {
    if (axis == int(turned)) continue;
    u32 index = rest % nd.dims[axis];
    rest /= nd.dims[axis];
    y += i64(index) * nd.strides[0][axis];
    x += i64(index) * nd.strides[1][axis];
  }
  for (u32 i = threadIdx.y; i < TILE; i += blockDim.y) {
    u32 r = row + threadIdx.x, c = column + i;
    if (r < nd.dims[turned] && c < nd.dims[last]) tile[i][threadIdx.x] = x[i64(r) + i64(c) * nd.strides[1][last]];
  }
  __syncthreads();
  for (u32 i = threadIdx.y; i < TILE; i += blockDim.y) {
    u32 r = row + i, c = column + threadIdx.x;
    if (r < nd.dims[turned] && c < nd.dims[last]) y[i64(r) * nd.strides[0][turned] + c] = tile[threadIdx.x][i];
  }
}

#define WIDTH(N, T)                                                                                                    \
  extern "C" __global__ void strided_##N(T *y, const T *x, Nd<2> nd, u64 n) { strided(y, x, nd, n); }                  \
  extern "C" __global__ void turn_##N(T *y, const T *x, Nd<2> nd, u32 turned) { turn(y, x, nd, turned); }
extern "C" __global__ void strided_16(uint4 *y, const uint4 *x, Nd<2> nd, u64 n) { strided(y, x, nd, n); }
WIDTH(1, u8)
WIDTH(2, uint16_t)
WIDTH(4, u32)
WIDTH(8, u64)
