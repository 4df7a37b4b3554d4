// Tensor cores by warps: tiles in shared memory, their fragments, and products of 16 × 8 × 16.
//
// Fragments of a lane with g = lane / 4 and t = lane % 4 (PTX manual, mma.m16n8k16): of A rows g and g + 8 at columns
// 2t, 2t + 1 and 8 more; of B column g at rows 2t, 2t + 1 and 8 more; of C rows g and g + 8 at columns 2t, 2t + 1.
#pragma once
#include "async_copy.cuh"

// Two numbers of half precision in a register, the first one low.
__device__ __forceinline__ u32 pack2(bf16, f32 a, f32 b) {
  __nv_bfloat162 both = __floats2bfloat162_rn(a, b);
  return *reinterpret_cast<u32 *>(&both);
}
__device__ __forceinline__ u32 pack2(f16, f32 a, f32 b) {
  __half2 both = __floats2half2_rn(a, b);
  return *reinterpret_cast<u32 *>(&both);
}

// c += a · b
__device__ __forceinline__ void mma(bf16, f32 (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma(f16, f32 (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices of 8 × 8; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void load4(u32 (&out)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}
__device__ __forceinline__ void load4_turned(u32 (&out)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}

// 2 to the power of x; −∞ gives 0.
__device__ __forceinline__ f32 power2(f32 x) {
  f32 y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Rows of D numbers of half precision in shared memory. The 16-byte chunks of a row are permuted by its number, so that
// eight rows of one chunk lie in different banks.
template <int D> struct Tile {
  static constexpr int CHUNKS = D / 8;
  u32 start;

  __device__ __forceinline__ u32 at(u32 row, u32 chunk) const {
    return start + (row * CHUNKS + (chunk ^ (row & 7))) * 16;
  }

  // Starts copies of `ROWS` rows from `from` on, `step` apart; rows from `real` on are zeros.
  template <int ROWS, int THREADS, typename T>
  __device__ __forceinline__ void load(const T *from, i64 step, i32 real) const {
    static_assert(ROWS * CHUNKS % THREADS == 0, "every thread copies as much");
#pragma unroll
    for (int i = 0; i < ROWS * CHUNKS / THREADS; ++i) {
      u32 index = i * THREADS + threadIdx.x, row = index / CHUNKS, chunk = index % CHUNKS;
      bool exists = i32(row) < real;
      copy16(at(row, chunk), from + (exists ? row * step : 0) + chunk * 8, exists);
    }
  }

  // Rows row … row + 15 and columns 16 · k … as A.
  __device__ __forceinline__ void left(u32 (&out)[4], u32 row, u32 k) const {
    u32 lane = threadIdx.x % WARP;
    load4(out, at(row + lane % 16, k * 2 + lane / 16));
  }

  // Rows row … row + 15 as two times 8 columns of B, columns 16 · k … as its rows: B is the tile turned.
  __device__ __forceinline__ void right_turned(u32 (&out)[4], u32 row, u32 k) const {
    u32 lane = threadIdx.x % WARP;
    load4(out, at(row + lane % 8 + lane / 16 * 8, k * 2 + lane / 8 % 2));
  }

  // Rows row … row + 15 as the rows of B, columns 16 · n … as two times 8 columns of it.
  __device__ __forceinline__ void right(u32 (&out)[4], u32 row, u32 n) const {
    u32 lane = threadIdx.x % WARP;
    load4_turned(out, at(row + lane % 16, n * 2 + lane / 16));
  }
};

// Two neighbouring 8-column tiles of C as A: what was summed over 16 columns is multiplied next.
template <typename T> __device__ __forceinline__ void as_left(u32 (&out)[4], const f32 (&low)[4], const f32 (&high)[4]) {
  out[0] = pack2(T{}, low[0], low[1]);
  out[1] = pack2(T{}, low[2], low[3]);
  out[2] = pack2(T{}, high[0], high[1]);
  out[3] = pack2(T{}, high[2], high[3]);
}
