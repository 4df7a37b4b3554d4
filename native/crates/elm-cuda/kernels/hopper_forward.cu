// y = softmax(scale · q kᵀ) v in half precision for heads of 64 or 128, on Hopper (Dao, 2023, arXiv:2307.08691; Shah et
// al., 2024, arXiv:2407.08608). `flash_forward.cu` is the form for other chips.
//
// A block is one warpgroup that copies and three that compute, each with 64 queries of one head; they go from tile to tile
// of queries until none is left, and the queries of the next are there before the last of a tile are done. Scores of the
// next keys are multiplied while the weights of these sum values; meanwhile other warpgroups have exponentials to take:
// three find work for the tensor cores where two leave them idle for half of the time. Bound by the tensor cores and, for
// heads of 64, as much by exponentials.
#include "hopper.cuh"

// Warpgroups that compute.
constexpr int GROUPS = 3;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

// Registers of threads that compute; keys at a time, as many as these allow beside the sums, and how many times that are
// on their way at most.
constexpr int MANY = 160;
template <int D> constexpr int STEP = D == 64 ? 128 : 64;
constexpr int STAGES = 4, Q_STAGES = 2;
// A row's weights are relative to a power of two that follows its greatest score when that is so many powers ahead: half
// precision and sums have room for them, and sums are seldom multiplied by what it has grown.
constexpr f32 ROOM = 8;
// Below all scores, and not −∞: −∞ − −∞ is no number.
constexpr f32 LEAST = -3.402823466e38f;

template <typename T, int D, bool DOCS>
__device__ __forceinline__ void forward(T *y, f32 *lse, const T *q, const T *k, const T *v, u32 heads, const Attention &a) {
  constexpr int QUERIES = GROUPS * 64;
  constexpr int STEP = ::STEP<D>;
  using Tile = Panels<STEP, D>;
  using Own = Panels<QUERIES, D>;
  extern __shared__ unsigned char memory[];
  u32 start = (shared_address(memory) + 1023) / 1024 * 1024;
  u32 stages = start + Q_STAGES * Own::BYTES, barriers = stages + STAGES * 2 * Tile::BYTES;
  auto q_tile = [&](u32 stage) { return Own{start + stage * Own::BYTES}; };
  auto k_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES}; };
  auto v_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES + Tile::BYTES}; };
  Ring<STAGES> k_ring{barriers}, v_ring{barriers + Ring<STAGES>::BYTES};
  Ring<Q_STAGES> q_ring{barriers + 2 * Ring<STAGES>::BYTES};
  u32 warpgroup = warpgroup_of_block(), tiles = (a.queries + QUERIES - 1) / QUERIES * heads;
  if (threadIdx.x == 0) {
    k_ring.make(GROUPS * 4);
    v_ring.make(GROUPS * 4);
    q_ring.make(GROUPS * 4);
  }
  __syncthreads();
  if (warpgroup == GROUPS) {
    registers_fewer<FEW<GROUPS, MANY>>();
    Copies copies;
    each_tile(tiles, [&](u32 tile) {
      Work<QUERIES, STEP, DOCS> work(a, heads, tile);
      copies.begin(q_ring);
      q_tile(q_ring.stage).load(q + work.b * a.q[0] + work.h * a.q[1] + work.begin * a.q[2], a.q[2], i32(a.queries) - work.begin);
      copies.end(q_ring);
      const T *k_head = k + work.b * a.k[0] + work.h / a.group * a.k[1];
      const T *v_head = v + work.b * a.v[0] + work.h / a.group * a.v[1];
      for (i32 key = work.next(0); key < work.end; key = work.next(key + STEP)) {
        // Keys behind the length may hold anything, and 0 · NaN is no zero.
        copies.begin(k_ring);
        k_tile(k_ring.stage).load(k_head + key * a.k[2], a.k[2], work.s.length - key);
        copies.end(k_ring);
        copies.begin(v_ring);
        v_tile(v_ring.stage).load(v_head + key * a.v[2], a.v[2], work.s.length - key);
        copies.end(v_ring);
      }
    });
    copies.finish();
    return;
  }
  registers_more<MANY>();
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP % 4, g = lane / 4, t = lane % 4;
  f32 factor = f32(a.scale) * LOG2E;
  each_tile(tiles, [&](u32 tile) {
    Work<QUERIES, STEP, DOCS> work(a, heads, tile);
    Part<STEP, DOCS> part(work, warpgroup);
    // Rows row + 8i.
    i32 row = part.begin + i32(warp) * 16 + i32(g);
    u32 weights[STEP / 16][4];
    f32 scores[STEP / 8][4], sums[D / 8][4], reference[2] = {LEAST, LEAST}, total[2] = {0, 0}, less[2];
    clear(sums);
    // Scores become weights; true if the sums so far are to be multiplied by `less`.
    auto weigh = [&](i32 key) {
      part.hide_unseen(scores, work.s, row, key);
      f32 high[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        high[i] = fmaxf(scores[0][i * 2], scores[0][i * 2 + 1]);
#pragma unroll
        for (int n = 1; n < STEP / 8; ++n) high[i] = fmaxf(high[i], fmaxf(scores[n][i * 2], scores[n][i * 2 + 1]));
        high[i] = fmaxf(high[i], __shfl_xor_sync(0xFFFFFFFFu, high[i], 1));
        high[i] = fmaxf(high[i], __shfl_xor_sync(0xFFFFFFFFu, high[i], 2)) * factor;
      }
      bool grew = __any_sync(0xFFFFFFFFu, high[0] > reference[0] + ROOM || high[1] > reference[1] + ROOM);
      if (grew) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          bool own = high[i] > reference[i] + ROOM;
          less[i] = own ? power2(reference[i] - high[i]) : 1.0f;
          reference[i] = own ? high[i] : reference[i];
          total[i] *= less[i];
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        f32 sum[2] = {0, 0};
#pragma unroll
        for (int n = 0; n < STEP / 8; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            scores[n][i * 2 + e] = power2(fmaf(scores[n][i * 2 + e], factor, -reference[i]));
            sum[e] += scores[n][i * 2 + e];
          }
        // The four lanes of a row are added at the end.
        total[i] += sum[0] + sum[1];
      }
      return grew;
    };
    i32 key = work.next(0);
    q_ring.wait_full();
    auto multiply = [&] {
      turned_product<T, D>(scores, q_tile(q_ring.stage), warpgroup * 64, k_tile(k_ring.stage));
      products_end();
    };
    if (key < part.end) {
      k_ring.wait_full();
      products_begin();
      multiply();
      products_wait<0>();
      hold(scores);
      k_ring.pass();
      weigh(key);
      as_left<T>(weights, scores);
      for (key = work.next(key + STEP); key < part.end; key = work.next(key + STEP)) {
        k_ring.wait_full();
        v_ring.wait_full();
        hold(weights);
        products_begin();
        multiply();
        add_product<T, D>(sums, weights, v_tile(v_ring.stage));
        products_end();
        products_wait<1>();
        hold(scores);
        k_ring.pass();
        bool grew = weigh(key);
        products_wait<0>();
        hold(sums);
        hold(weights);
        v_ring.pass();
        if (grew) {
#pragma unroll
          for (int n = 0; n < D / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) sums[n][i] *= less[i / 2];
        }
        as_left<T>(weights, scores);
      }
      v_ring.wait_full();
      hold(weights);
      hold(sums);
      products_begin();
      add_product<T, D>(sums, weights, v_tile(v_ring.stage));
      products_end();
      products_wait<0>();
      hold(sums);
      hold(weights);
      v_ring.pass();
    }
    q_ring.pass();
    // Keys that other warpgroups of the block see and this one does not.
    for (; key < work.end; key = work.next(key + STEP)) {
      k_ring.wait_full();
      k_ring.pass();
      v_ring.wait_full();
      v_ring.pass();
    }
    u64 first_row = u64(work.head) * a.queries;
    f32 share[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      f32 sum = total[i];
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
      share[i] = sum == 0 ? 0.0f : 1 / sum;
      i32 query = row + i * 8;
      if (lse && t == 0 && query <= part.last)
        lse[first_row + query] = sum == 0 ? -INFINITY : reference[i] / LOG2E + logf(sum);
    }
    store_rows<T, D>(y + first_row * D, sums, part.begin + i32(warp) * 16, part.last + 1, share);
  });
}

#define BODY(T, D)                                                                                                     \
  if (a.documents) forward<T, D, true>(y, lse, q, k, v, heads, a);                                                     \
  else forward<T, D, false>(y, lse, q, k, v, heads, a)
#else
#define BODY(T, D) __trap()
#endif

#define KERNEL(T, D)                                                                                                   \
  extern "C" __global__ void __launch_bounds__(THREADS<GROUPS>, 1)                                                             \
      hopper_forward_##D##_##T(T *y, f32 *lse, const T *q, const T *k, const T *v, u32 heads, Attention a) {           \
    BODY(T, D);                                                                                                        \
  }
KERNEL(bf16, 64)
KERNEL(f16, 64)
KERNEL(bf16, 128)
KERNEL(f16, 128)
