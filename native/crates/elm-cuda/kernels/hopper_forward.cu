// y = softmax(scale · q kᵀ) v in half precision for heads of 64 or 128, on Hopper (Dao, 2023, arXiv:2307.08691; Shah et
// al., 2024, arXiv:2407.08608). `flash_forward.cu` is the form for other chips.
//
// A block is one warpgroup that copies and two or three that compute, each with 64 queries of one head; they go from tile
// to tile of queries until none is left, so that the copies for one begin while another ends.
// Scores of the next keys are multiplied while the weights of these sum values; meanwhile
// other warpgroups have exponentials to take. Bound by the tensor cores and, for heads of 64, as much by exponentials.
#include "hopper.cuh"

// Warpgroups that compute.
template <int D> constexpr int GROUPS = D == 64 ? 3 : 2;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

// Keys at a time, and how many times that are on their way at most.
// Heads of 64 have few products to a score: more keys at a time save waits. Heads of 128 leave registers for fewer, and
// for the queries.
template <int D> constexpr int STEP = D == 64 ? 128 : 64;
constexpr int STAGES = 4;

template <typename T, int D, bool DOCS>
__device__ __forceinline__ void forward(T *y, f32 *lse, const T *q, const T *k, const T *v, u32 heads, const Attention &a) {
  constexpr int QUERIES = GROUPS<D> * 64;
  constexpr int STEP = ::STEP<D>;
  constexpr bool KEPT = D == 128;
  using Tile = Panels<STEP, D>;
  extern __shared__ unsigned char memory[];
  u32 start = (shared_address(memory) + 1023) / 1024 * 1024;
  Panels<QUERIES, D> q_tile{start};
  u32 stages = start + q_tile.BYTES, barriers = stages + STAGES * 2 * Tile::BYTES;
  auto k_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES}; };
  auto v_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES + Tile::BYTES}; };
  Ring<STAGES> ring{barriers};
  Ring<1> q_ring{barriers + Ring<STAGES>::BYTES};
  u32 warpgroup = warpgroup_of_block(), tiles = (a.queries + QUERIES - 1) / QUERIES * heads;
  if (threadIdx.x == 0) {
    ring.make(GROUPS<D> * 4);
    q_ring.make(GROUPS<D> * 4);
  }
  __syncthreads();
  if (warpgroup == GROUPS<D>) {
    registers_fewer<FEW<GROUPS<D>>>();
    each_tile(tiles, [&](u32 tile) {
      Work<QUERIES, STEP, DOCS> work(a, heads, tile);
      q_ring.wait_empty();
      q_tile.load(q + work.b * a.q[0] + work.h * a.q[1] + work.begin * a.q[2], a.q[2], i32(a.queries) - work.begin);
      q_ring.filling();
      q_ring.next();
      const T *k_head = k + work.b * a.k[0] + work.h / a.group * a.k[1];
      const T *v_head = v + work.b * a.v[0] + work.h / a.group * a.v[1];
      for (i32 key = work.next(0); key < work.end; key = work.next(key + STEP)) {
        ring.wait_empty();
        // Keys behind the length may hold anything, and 0 · NaN is no zero.
        k_tile(ring.stage).load(k_head + key * a.k[2], a.k[2], work.s.length - key);
        v_tile(ring.stage).load(v_head + key * a.v[2], a.v[2], work.s.length - key);
        ring.filling();
        ring.next();
      }
    });
    copies_wait<0>();
  } else {
  registers_more<MANY<GROUPS<D>>>();
  u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP % 4, g = lane / 4, t = lane % 4;
  f32 factor = f32(a.scale) * LOG2E;
  each_tile(tiles, [&](u32 tile) {
    Work<QUERIES, STEP, DOCS> work(a, heads, tile);
    Part<STEP, DOCS> part(work, warpgroup);
    // Rows row + 8i.
    i32 row = part.begin + i32(warp) * 16 + i32(g);
    u32 left[D / 16][4], weights[STEP / 16][4];
    f32 scores[STEP / 8][4], sums[D / 8][4], most[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0}, less[2];
    clear(sums);
    // Scores become weights, less by what the greatest one has grown.
    auto weigh = [&](i32 key) {
      part.hide_unseen(scores, work.s, row, key);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        f32 high = most[i], sum = 0;
#pragma unroll
        for (int n = 0; n < STEP / 8; ++n) high = fmaxf(high, fmaxf(scores[n][i * 2], scores[n][i * 2 + 1]));
        high = fmaxf(high, __shfl_xor_sync(0xFFFFFFFFu, high, 1));
        high = fmaxf(high, __shfl_xor_sync(0xFFFFFFFFu, high, 2));
        // Nothing seen yet: −∞ − −∞ is no number.
        f32 reference = high == -INFINITY ? 0.0f : high * factor;
        less[i] = power2(most[i] * factor - reference);
        most[i] = high;
#pragma unroll
        for (int n = 0; n < STEP / 8; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            f32 weight = power2(fmaf(scores[n][i * 2 + e], factor, -reference));
            scores[n][i * 2 + e] = weight;
            sum += weight;
          }
        // The four lanes of a row are added at the end.
        total[i] = total[i] * less[i] + sum;
      }
    };
    i32 key = work.next(0);
    q_ring.wait_full();
    if constexpr (KEPT) {
#pragma unroll
      for (int c = 0; c < D / 16; ++c) q_tile.left(left[c], warpgroup * 64 + warp * 16, c);
      q_ring.release(0);
    }
    auto multiply = [&] {
      if constexpr (KEPT) turned_product<T, D>(scores, left, k_tile(ring.stage));
      else turned_product<T, D>(scores, q_tile, warpgroup * 64, k_tile(ring.stage));
      products_end();
    };
    if (key < part.end) {
      ring.wait_full();
      products_begin();
      multiply();
      products_wait<0>();
      hold(scores);
      weigh(key);
      as_left<T>(weights, scores);
      u32 pending = ring.stage;
      ring.next();
      for (key = work.next(key + STEP); key < part.end; key = work.next(key + STEP)) {
        ring.wait_full();
        hold(weights);
        products_begin();
        multiply();
        add_product<T, D>(sums, weights, v_tile(pending));
        products_end();
        products_wait<1>();
        hold(scores);
        weigh(key);
        products_wait<0>();
        hold(sums);
        hold(weights);
        ring.release(pending);
        // After a few keys the greatest score seldom grows.
        if (__any_sync(0xFFFFFFFFu, less[0] != 1 || less[1] != 1)) {
#pragma unroll
          for (int n = 0; n < D / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) sums[n][i] *= less[i / 2];
        }
        as_left<T>(weights, scores);
        pending = ring.stage;
        ring.next();
      }
      hold(weights);
      hold(sums);
      products_begin();
      add_product<T, D>(sums, weights, v_tile(pending));
      products_end();
      products_wait<0>();
      hold(sums);
      hold(weights);
      ring.release(pending);
    }
    if constexpr (KEPT) hold(left);
    else q_ring.release(0);
    q_ring.next();
    // Keys that other warpgroups of the block see and this one does not.
    for (; key < work.end; key = work.next(key + STEP)) {
      ring.wait_full();
      ring.release(ring.stage);
      ring.next();
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
        lse[first_row + query] = sum == 0 ? -INFINITY : most[i] * f32(a.scale) + logf(sum);
    }
    store_rows<T, D>(y + first_row * D, sums, part.begin + i32(warp) * 16, part.last + 1, share);
  });
  }
}

#define BODY(T, D)                                                                                                     \
  if (a.documents) forward<T, D, true>(y, lse, q, k, v, heads, a);                                                     \
  else forward<T, D, false>(y, lse, q, k, v, heads, a)
#else
#define BODY(T, D) __trap()
#endif

#define KERNEL(T, D)                                                                                                   \
  extern "C" __global__ void __launch_bounds__(THREADS<GROUPS<D>>, 1)                                                          \
      hopper_forward_##D##_##T(T *y, f32 *lse, const T *q, const T *k, const T *v, u32 heads, Attention a) {           \
    BODY(T, D);                                                                                                        \
  }
KERNEL(bf16, 64)
KERNEL(f16, 64)
KERNEL(bf16, 128)
KERNEL(f16, 128)
