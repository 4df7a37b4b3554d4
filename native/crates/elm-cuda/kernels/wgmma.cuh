// Tensor cores by warpgroups, as Hopper (sm_90a) has them: products of 64 rows by four warps, whose right side, and
// perhaps the left one, is read from shared memory behind the threads' backs (PTX manual, wgmma).
//
// Fragments of the left side in registers and of sums lie as in `mma.cuh`: warp w of the four has rows 16w … 16w + 15.
#pragma once
#include "mma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

constexpr int WARPGROUP = 4 * WARP;

// Rows of D numbers of half precision in panels of 64 columns, in the order that wgmma calls a swizzle of 128 bytes: a
// row of a panel has 128 bytes, and its 16-byte chunks are permuted by the row's number. A tile begins at a multiple of
// 1024 bytes. The product takes it as it lies or turned.
template <int ROWS, int D> struct Panels {
  static constexpr u32 ROW = 128, PANEL = ROWS * ROW, BYTES = PANEL * (D / 64), CHUNKS = D / 8;
  u32 start;

  __device__ __forceinline__ u32 at(u32 row, u32 chunk) const {
    return start + chunk / 8 * PANEL + row * ROW + ((chunk % 8) ^ (row & 7)) * 16;
  }

  // Starts copies by a warpgroup from `from` on, rows `step` apart; rows from `real` on are zeros. The rows of a thread
  // are permuted alike, being a multiple of eight apart, so that it needs few registers.
  template <typename T> __device__ __forceinline__ void load(const T *from, i64 step, i32 real) const {
    constexpr u32 AT_ONCE = WARPGROUP / CHUNKS;
    static_assert(AT_ONCE % 8 == 0 && ROWS % AT_ONCE == 0, "every thread copies as much");
    u32 thread = threadIdx.x % WARPGROUP, row = thread / CHUNKS, chunk = thread % CHUNKS, to = at(row, chunk);
    const T *own = from + row * step + chunk * 8;
#pragma unroll 4
    for (u32 i = 0; i < ROWS / AT_ONCE; ++i) {
      bool exists = i32(row + i * AT_ONCE) < real;
      copy16(to + i * AT_ONCE * ROW, exists ? own : from, exists);
      own += AT_ONCE * step;
    }
  }

  // Rows row … row + 15 and columns 16 · k … as the left side.
  __device__ __forceinline__ void left(u32 (&out)[4], u32 row, u32 k) const {
    u32 lane = threadIdx.x % WARP;
    load4(out, at(row + lane % 16, k * 2 + lane / 16));
  }

  // Where the product finds rows `row` …, which are its rows or columns, at columns 16 · k … of them.
  __device__ __forceinline__ u64 by_rows(u32 row, u32 k) const {
    return descriptor(k / 4 * PANEL + row * ROW + k % 4 * 32);
  }

  // Where it finds rows 16 · k …, which are what it sums over.
  __device__ __forceinline__ u64 by_columns(u32 k) const { return descriptor(k * 16 * ROW); }

private:
  // Address, step between panels and step between groups of eight rows, in 16 bytes each, and the kind of swizzle. The
  // offset is added behind the shift, so that the fragments of a tile share it.
  __device__ __forceinline__ u64 descriptor(u32 offset) const {
    return u64(8 * ROW / 16 | 1 << 30) << 32 | ((start >> 4) + (offset >> 4) + (PANEL / 16 << 16));
  }
};

// The number of a thread's warpgroup, the same for its warp as far as the compiler can tell too.
__device__ __forceinline__ u32 warpgroup_of_block() { return __shfl_sync(0xFFFFFFFFu, threadIdx.x / WARPGROUP, 0); }

// Before the first product of several: what the threads did to registers and what others copied to shared memory is
// there.
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits for all groups but the last `OPEN`; `hold` what they read and wrote afterwards.
template <int OPEN> __device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(OPEN) : "memory");
}

// The compiler knows nothing of work behind its back: values live at least until here, and are not used before.
template <int N> __device__ __forceinline__ void hold(f32 (&c)[N][4]) {
#pragma unroll
  for (int n = 0; n < N; ++n) asm volatile("" : "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])::"memory");
}
template <int N> __device__ __forceinline__ void hold(u32 (&a)[N][4]) {
#pragma unroll
  for (int n = 0; n < N; ++n) asm volatile("" : "+r"(a[n][0]), "+r"(a[n][1]), "+r"(a[n][2]), "+r"(a[n][3])::"memory");
}

#define SUMS_1(c, n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define SUMS_8(c, n)                                                                                                   \
  SUMS_1(c, n), SUMS_1(c, n + 1), SUMS_1(c, n + 2), SUMS_1(c, n + 3), SUMS_1(c, n + 4), SUMS_1(c, n + 5),              \
      SUMS_1(c, n + 6), SUMS_1(c, n + 7)
#define NAMES_32                                                                                                       \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,"     \
  "%30,%31"
#define NAMES_64                                                                                                       \
  NAMES_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,"     \
           "%57,%58,%59,%60,%61,%62,%63"

// c = a · b, or c += a · b where `more`. In `by_rows` form b's columns are rows of a tile, else it is the tile (TURN).
#define PRODUCT(T, NAME)                                                                                               \
  template <int TURN> __device__ __forceinline__ void product(T, f32 (&c)[8][4], const u32 (&a)[4], u64 b, int more) { \
    asm volatile("{.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                                            \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " {" NAMES_32                             \
                 "}, {%32,%33,%34,%35}, %36, p, 1, 1, %38;}\n"                                                         \
                 : SUMS_8(c, 0)                                                                                        \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(more), "n"(TURN));                          \
  }                                                                                                                    \
  template <int TURN>                                                                                                  \
  __device__ __forceinline__ void product(T, f32 (&c)[16][4], const u32 (&a)[4], u64 b, int more) {                    \
    asm volatile("{.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"                                                            \
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32." NAME "." NAME " {" NAMES_64                            \
                 "}, {%64,%65,%66,%67}, %68, p, 1, 1, %70;}\n"                                                         \
                 : SUMS_8(c, 0), SUMS_8(c, 8)                                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(more), "n"(TURN));                          \
  }                                                                                                                    \
  __device__ __forceinline__ void product(T, f32 (&c)[8][4], u64 a, u64 b, int more) {                                 \
    asm volatile("{.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"                                                            \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " {" NAMES_32                             \
                 "}, %32, %33, p, 1, 1, 0, 0;}\n"                                                                      \
                 : SUMS_8(c, 0)                                                                                        \
                 : "l"(a), "l"(b), "r"(more));                                                                         \
  }                                                                                                                    \
  __device__ __forceinline__ void product(T, f32 (&c)[16][4], u64 a, u64 b, int more) {                                \
    asm volatile("{.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"                                                            \
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32." NAME "." NAME " {" NAMES_64                            \
                 "}, %64, %65, p, 1, 1, 0, 0;}\n"                                                                      \
                 : SUMS_8(c, 0), SUMS_8(c, 8)                                                                          \
                 : "l"(a), "l"(b), "r"(more));                                                                         \
  }
PRODUCT(bf16, "bf16")
PRODUCT(f16, "f16")

// c = a · bᵀ over D columns, a in registers, b all rows of a tile.
template <typename T, int D, int N>
__device__ __forceinline__ void turned_product(f32 (&c)[N / 8][4], const u32 (&a)[D / 16][4], const Panels<N, D> &b) {
#pragma unroll
  for (int k = 0; k < D / 16; ++k) product<0>(T{}, c, a[k], b.by_rows(0, k), k > 0);
}
// The same, a 64 rows of a tile.
template <typename T, int D, int M, int N>
__device__ __forceinline__ void turned_product(f32 (&c)[N / 8][4], const Panels<M, D> &a, u32 row, const Panels<N, D> &b) {
#pragma unroll
  for (int k = 0; k < D / 16; ++k) product(T{}, c, a.by_rows(row, k), b.by_rows(0, k), k > 0);
}
// c += a · b over all rows of b, a in registers.
template <typename T, int D, int N>
__device__ __forceinline__ void add_product(f32 (&c)[D / 8][4], const u32 (&a)[N / 16][4], const Panels<N, D> &b) {
#pragma unroll
  for (int k = 0; k < N / 16; ++k) product<1>(T{}, c, a[k], b.by_columns(k), 1);
}

// Sums as the left side of the next product.
template <typename T, int N> __device__ __forceinline__ void as_left(u32 (&out)[N / 2][4], const f32 (&c)[N][4]) {
#pragma unroll
  for (int k = 0; k < N / 2; ++k) as_left<T>(out[k], c[2 * k], c[2 * k + 1]);
}

// Two neighbouring numbers of shared memory.
__device__ __forceinline__ void load_two(f32 (&out)[2], u32 at) {
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(out[0]), "=f"(out[1]) : "r"(at) : "memory");
}

template <int N> __device__ __forceinline__ void clear(f32 (&c)[N][4]) {
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) c[n][i] = 0;
}

// Rows row + g + 8i of sums times `factor[i]`, as far as they are below `rows`.
template <typename T, int D>
__device__ __forceinline__ void store_rows(T *to, const f32 (&sums)[D / 8][4], i32 row, i32 rows, const f32 (&factor)[2]) {
  u32 lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    i32 at = row + i * 8 + i32(g);
    if (at >= rows) continue;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      u32 both = pack2(T{}, sums[n][i * 2] * factor[i], sums[n][i * 2 + 1] * factor[i]);
      *reinterpret_cast<u32 *>(to + i64(at) * D + n * 8 + t * 2) = both;
    }
  }
}

// Registers of each thread of a warpgroup from here on, of those that its block has.
template <int COUNT> __device__ __forceinline__ void registers_fewer() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}
template <int COUNT> __device__ __forceinline__ void registers_more() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}

// A barrier in shared memory: a phase ends when as many have arrived as it was made for.
struct Barrier {
  u32 at;

  __device__ __forceinline__ void make(u32 count) const {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(count) : "memory");
  }
  __device__ __forceinline__ void arrive() const {
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(at) : "memory");
  }
  // One thread of a warp arrives for it.
  __device__ __forceinline__ void arrive_warp() const {
    __syncwarp();
    if (threadIdx.x % WARP == 0) arrive();
  }
  // Whether the phase of this parity has ended.
  __device__ __forceinline__ bool ended(u32 parity) const {
    u32 done;
    asm volatile("{.reg .pred p;\nmbarrier.test_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2;\n"
                 "selp.u32 %0, 1, 0, p;}\n"
                 : "=r"(done)
                 : "r"(at), "r"(parity)
                 : "memory");
    return done;
  }
  // Waits for its end.
  __device__ __forceinline__ void wait(u32 parity) const {
    u32 done;
    do {
      asm volatile("{.reg .pred p;\nmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2;\n"
                   "selp.u32 %0, 1, 0, p;}\n"
                   : "=r"(done)
                   : "r"(at), "r"(parity)
                   : "memory");
    } while (!done);
  }
};

// Stages that one warpgroup fills and others use, in turns. Every role has its own copy and goes round in step.
template <int STAGES> struct Ring {
  u32 barriers, stage = 0, phase = 0;

  static constexpr u32 BYTES = STAGES * 16;
  __device__ __forceinline__ Barrier full(u32 stage) const { return {barriers + stage * 16}; }
  __device__ __forceinline__ Barrier empty(u32 stage) const { return {barriers + stage * 16 + 8}; }
  // One thread makes it, for so many warps of users.
  __device__ __forceinline__ void make(u32 warps) const {
    for (u32 i = 0; i < STAGES; ++i) {
      full(i).make(WARPGROUP);
      empty(i).make(warps);
    }
  }
  __device__ __forceinline__ void next() {
    if (++stage == STAGES) {
      stage = 0;
      phase ^= 1;
    }
  }
  __device__ __forceinline__ void wait_full() const { full(stage).wait(phase); }
  __device__ __forceinline__ void release(u32 stage) const { empty(stage).arrive_warp(); }
  // Gives this stage back and goes on to the next one.
  __device__ __forceinline__ void pass() {
    release(stage);
    next();
  }
};

// What a thread that copies has under way. It waits for its copies and makes them visible to products itself, which those
// who multiply would else do in every turn, and does so late: one stage is on its way while the next one is started.
struct Copies {
  u32 open = 0;

  // The stage that comes next is empty. Before it waits for that it tells of all there is: others may need it to empty one.
  template <int STAGES> __device__ __forceinline__ void begin(const Ring<STAGES> &ring) {
    Barrier empty = ring.empty(ring.stage);
    if (__all_sync(0xFFFFFFFFu, empty.ended(ring.phase ^ 1))) return;
    finish();
    empty.wait(ring.phase ^ 1);
  }
  // What was started since then fills it.
  template <int STAGES> __device__ __forceinline__ void end(Ring<STAGES> &ring) {
    copies_end();
    tell<1>();
    open = ring.full(ring.stage).at;
    ring.next();
  }
  __device__ __forceinline__ void finish() {
    tell<0>();
    open = 0;
  }

private:
  template <int LATER> __device__ __forceinline__ void tell() const {
    if (!open) return;
    copies_wait<LATER>();
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    Barrier{open}.arrive();
  }
};

#endif
