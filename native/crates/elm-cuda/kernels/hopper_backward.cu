// The gradient of attention in half precision for heads of 64 or 128, on Hopper; `flash_backward.cu` is the form for
// other chips and says why there are two kernels. With P = exp(scale · q kᵀ − lse) and S = P · (grad vᵀ − delta):
// dv = Pᵀ grad, dk = scale · Sᵀ q and dq = scale · S k.
//
// Both make P and S in the layout in which the next product takes them from registers: `keys` turned, `queries` straight.
// While one product is under way the exponentials of the other are taken. Bound by the tensor cores.
#include "hopper.cuh"

// Warpgroups that compute.
constexpr int GROUPS = 2;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

// Rows that they walk over at a time, and how many times that are on their way at most.
constexpr int STEP = 64, STAGES = 4;
// Stands for the −∞ of a row that sees nothing: −∞ + ∞ is no number.
constexpr f32 LEAST = -1e30f;

template <typename T, int D, bool DOCS>
__device__ __forceinline__ void keys(T *dk, T *dv, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,
                                     const f32 *delta, const Attention &a) {
  constexpr int OWN = GROUPS * 64;
  // Two kinds of sums leave nothing to spare: with 232 products wait for each other.
  constexpr int MANY = 240;
  // Heads of 64 keep their keys and values in registers, which shared memory can then give to the other side.
  constexpr bool KEPT = D == 64;
  using Tile = Panels<STEP, D>;
  extern __shared__ unsigned char memory[];
  u32 start = (shared_address(memory) + 1023) / 1024 * 1024;
  Panels<OWN, D> k_tile{start}, v_tile{start + k_tile.BYTES};
  u32 stages = v_tile.start + v_tile.BYTES, rows = stages + STAGES * 2 * Tile::BYTES;
  auto q_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES}; };
  auto grad_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES + Tile::BYTES}; };
  // lse and delta of a stage's rows.
  auto row_values = [&](u32 stage) { return rows + stage * 2 * STEP * 4; };
  Ring<STAGES> ring{rows + STAGES * 2 * STEP * 4};
  Ring<1> own_ring{ring.barriers + ring.BYTES};
  u32 warpgroup = warpgroup_of_block();
  u32 blocks = (a.keys + OWN - 1) / OWN, heads = gridDim.x / blocks, head = blockIdx.x % heads;
  // The first keys are seen by the most queries, and come first.
  i32 begin = i32(blockIdx.x / heads) * OWN;
  u32 b = head / kv_heads(a), kv_head = head % kv_heads(a);
  Sequence s(a, b);
  i32 first = s.first_query(begin) / STEP * STEP;
  // How queries `query` … meet keys; without documents all from `first` on see some.
  auto met = [&](i32 query, i32 key, i32 count) {
    if (!DOCS) return key + count <= s.limit(query) ? Meeting::ALL : Meeting::SOME;
    i32 last = min(query + STEP, s.queries) - 1;
    return meeting(s, query, last, s.range(s.position(query), s.position(last)), key, count);
  };
  // Queries of a head of the group; `seek` finds the next ones that see some key, and none when `h` is `group`.
  u32 group = begin < s.limit(s.queries - 1) ? a.group : 0;
  struct Place {
    u32 h;
    i32 query;
  };
  auto seek = [&](Place at) {
    for (; at.h < group; ++at.h, at.query = first)
      for (; at.query < s.queries; at.query += STEP)
        if (!DOCS || met(at.query, begin, OWN) != Meeting::NONE) return at;
    return at;
  };
  auto after = [&](Place at) { return seek({at.h, at.query + STEP}); };
  if (threadIdx.x == 0) {
    ring.make(GROUPS * 4);
    own_ring.make(GROUPS * 4);
  }
  __syncthreads();
  if (warpgroup == GROUPS) {
    registers_fewer<FEW<GROUPS, MANY>>();
    Copies copies;
    copies.begin(own_ring);
    k_tile.load(k + b * a.k[0] + kv_head * a.k[1] + begin * a.k[2], a.k[2], s.length - begin);
    v_tile.load(v + b * a.v[0] + kv_head * a.v[1] + begin * a.v[2], a.v[2], s.length - begin);
    copies.end(own_ring);
    for (Place at = seek({0, first}); at.h < group; at = after(at)) {
      u32 h = kv_head * a.group + at.h;
      i32 query = at.query, real = s.queries - query;
      copies.begin(ring);
      q_tile(ring.stage).load(q + b * a.q[0] + h * a.q[1] + query * a.q[2], a.q[2], real);
      grad_tile(ring.stage).load(grad + b * a.grad[0] + h * a.grad[1] + query * a.grad[2], a.grad[2], real);
      u32 thread = threadIdx.x % WARPGROUP;
      bool exists = i32(thread % STEP) < real;
      u64 from = (u64(b) * a.heads + h) * a.queries + query + (exists ? thread % STEP : 0);
      copy4(row_values(ring.stage) + thread * 4, (thread < STEP ? lse : delta) + from, exists);
      copies.end(ring);
    }
    copies.finish();
  } else {
    registers_more<MANY>();
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP % 4, g = lane / 4, t = lane % 4;
    i32 own = begin + i32(warpgroup) * 64, row = own + i32(warp) * 16 + i32(g);
    f32 sums_k[D / 8][4], sums_v[D / 8][4], factor = f32(a.scale) * LOG2E;
    clear(sums_k);
    clear(sums_v);
    u32 left_k[D / 16][4], left_v[D / 16][4];
    own_ring.wait_full();
    if constexpr (KEPT) {
#pragma unroll
      for (int c = 0; c < D / 16; ++c) {
        k_tile.left(left_k[c], warpgroup * 64 + warp * 16, c);
        v_tile.left(left_v[c], warpgroup * 64 + warp * 16, c);
      }
    }
    f32 scores[8][4], dots[8][4];
    auto multiply = [&](u32 stage) {
      products_begin();
      if constexpr (KEPT) turned_product<T, D>(scores, left_k, q_tile(stage));
      else turned_product<T, D>(scores, k_tile, warpgroup * 64, q_tile(stage));
      products_end();
      if constexpr (KEPT) turned_product<T, D>(dots, left_v, grad_tile(stage));
      else turned_product<T, D>(dots, v_tile, warpgroup * 64, grad_tile(stage));
      products_end();
    };
    // Scores become weights.
    auto weigh = [&](u32 stage, i32 query) {
      hold(scores);
      if (met(query, own, 64) != Meeting::ALL) {
        hide(scores, [&](int i, i32 column) {
          i32 at = query + column, j = row + i * 8;
          return at < s.queries && j < s.limit(at) && (!DOCS || s.documents[j] == s.document(at));
        });
      }
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        f32 less[2];
        load_two(less, row_values(stage) + (n * 8 + t * 2) * 4);
#pragma unroll
        for (int e = 0; e < 2; ++e) less[e] = fmaxf(less[e], LEAST) * LOG2E;
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] = power2(fmaf(scores[n][i], factor, -less[i % 2]));
      }
    };
    // Products with gradients become those of scores.
    auto change = [&](u32 stage) {
      hold(dots);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        f32 less[2];
        load_two(less, row_values(stage) + (STEP + n * 8 + t * 2) * 4);
#pragma unroll
        for (int i = 0; i < 4; ++i) dots[n][i] = scores[n][i] * (dots[n][i] - less[i % 2]);
      }
    };
    Place at = seek({0, first});
    if constexpr (KEPT) {
      // Sums follow one step behind: while weights are made, they are under way.
      u32 weights[4][4], changes[4][4], pending;
      auto add = [&] {
        add_product<T, D>(sums_v, weights, grad_tile(pending));
        add_product<T, D>(sums_k, changes, q_tile(pending));
        products_end();
      };
      auto added = [&] {
        products_wait<0>();
        hold(sums_v);
        hold(sums_k);
        ring.release(pending);
      };
      auto make_ready = [&] {
        as_left<T>(weights, scores);
        as_left<T>(changes, dots);
        pending = ring.stage;
        ring.next();
      };
      if (at.h < group) {
        ring.wait_full();
        multiply(ring.stage);
        products_wait<1>();
        weigh(ring.stage, at.query);
        products_wait<0>();
        change(ring.stage);
        make_ready();
        for (at = after(at); at.h < group; at = after(at)) {
          ring.wait_full();
          multiply(ring.stage);
          add();
          products_wait<2>();
          weigh(ring.stage, at.query);
          products_wait<1>();
          change(ring.stage);
          added();
          make_ready();
        }
        products_begin();
        add();
        added();
      }
      hold(left_k);
      hold(left_v);
    } else {
      // There are no registers for both sides of the sums: one follows at once.
      u32 left[4][4];
      for (; at.h < group; at = after(at)) {
        u32 stage = ring.stage;
        ring.wait_full();
        multiply(stage);
        products_wait<1>();
        weigh(stage, at.query);
        as_left<T>(left, scores);
        products_begin();
        add_product<T, D>(sums_v, left, grad_tile(stage));
        products_end();
        products_wait<0>();
        change(stage);
        hold(left);
        as_left<T>(left, dots);
        products_begin();
        add_product<T, D>(sums_k, left, q_tile(stage));
        products_end();
        products_wait<0>();
        hold(left);
        ring.pass();
      }
      hold(sums_v);
      hold(sums_k);
    }
    u64 to = u64(head) * a.keys * D;
    f32 scale[2] = {f32(a.scale), f32(a.scale)}, one[2] = {1, 1};
    if (dk) store_rows<T, D>(dk + to, sums_k, own + i32(warp) * 16, i32(a.keys), scale);
    if (dv) store_rows<T, D>(dv + to, sums_v, own + i32(warp) * 16, i32(a.keys), one);
  }
}

template <typename T, int D, bool DOCS>
__device__ __forceinline__ void queries(T *dq, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,
                                        const f32 *delta, u32 heads, const Attention &a) {
  constexpr int QUERIES = GROUPS * 64;
  // Those that copy walk over more, and are slower with 24.
  constexpr int MANY = 232;
  // Heads of 128 leave no registers for the gradient: it stays in shared memory.
  constexpr bool KEPT = D == 64;
  using Tile = Panels<STEP, D>;
  extern __shared__ unsigned char memory[];
  u32 start = (shared_address(memory) + 1023) / 1024 * 1024;
  Panels<QUERIES, D> q_tile{start}, grad_tile{start + q_tile.BYTES};
  u32 stages = grad_tile.start + grad_tile.BYTES;
  auto k_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES}; };
  auto v_tile = [&](u32 stage) { return Tile{stages + stage * 2 * Tile::BYTES + Tile::BYTES}; };
  Ring<STAGES> ring{stages + STAGES * 2 * Tile::BYTES};
  Ring<1> own_ring{ring.barriers + ring.BYTES};
  u32 warpgroup = warpgroup_of_block(), tiles = (a.queries + QUERIES - 1) / QUERIES * heads;
  if (threadIdx.x == 0) {
    ring.make(GROUPS * 4);
    own_ring.make(GROUPS * 4);
  }
  __syncthreads();
  if (warpgroup == GROUPS) {
    registers_fewer<FEW<GROUPS, MANY>>();
    Copies copies;
    each_tile(tiles, [&](u32 tile) {
      Work<QUERIES, STEP, DOCS> work(a, heads, tile);
      i32 real = i32(a.queries) - work.begin;
      copies.begin(own_ring);
      q_tile.load(q + work.b * a.q[0] + work.h * a.q[1] + work.begin * a.q[2], a.q[2], real);
      grad_tile.load(grad + work.b * a.grad[0] + work.h * a.grad[1] + work.begin * a.grad[2], a.grad[2], real);
      copies.end(own_ring);
      const T *k_head = k + work.b * a.k[0] + work.h / a.group * a.k[1];
      const T *v_head = v + work.b * a.v[0] + work.h / a.group * a.v[1];
      for (i32 key = work.next(0); key < work.end; key = work.next(key + STEP)) {
        copies.begin(ring);
        k_tile(ring.stage).load(k_head + key * a.k[2], a.k[2], work.s.length - key);
        v_tile(ring.stage).load(v_head + key * a.v[2], a.v[2], work.s.length - key);
        copies.end(ring);
      }
    });
    copies.finish();
  } else {
    registers_more<MANY>();
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP % 4, g = lane / 4;
    f32 factor = f32(a.scale) * LOG2E;
    each_tile(tiles, [&](u32 tile) {
      Work<QUERIES, STEP, DOCS> work(a, heads, tile);
      Part<STEP, DOCS> part(work, warpgroup);
      // Rows row + 8i; those that do not exist have gradients that are zeros.
      i32 row = part.begin + i32(warp) * 16 + i32(g);
      u64 first_row = u64(work.head) * a.queries;
      f32 less[2], dot[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        i32 query = row + i * 8;
        less[i] = query <= part.last ? fmaxf(lse[first_row + query], LEAST) * LOG2E : 0.0f;
        dot[i] = query <= part.last ? delta[first_row + query] : 0.0f;
      }
      u32 left_q[D / 16][4], left_grad[D / 16][4], changes[4][4];
      own_ring.wait_full();
#pragma unroll
      for (int c = 0; c < D / 16; ++c) {
        q_tile.left(left_q[c], warpgroup * 64 + warp * 16, c);
        if constexpr (KEPT) grad_tile.left(left_grad[c], warpgroup * 64 + warp * 16, c);
      }
      if constexpr (KEPT) own_ring.release(0);
      own_ring.next();
      f32 scores[8][4], dots[8][4], sums[D / 8][4];
      clear(sums);
      i32 key = work.next(0);
      u32 pending = 0;
      auto multiply = [&] {
        products_begin();
        turned_product<T, D>(scores, left_q, k_tile(ring.stage));
        products_end();
        if constexpr (KEPT) turned_product<T, D>(dots, left_grad, v_tile(ring.stage));
        else turned_product<T, D>(dots, grad_tile, warpgroup * 64, v_tile(ring.stage));
        products_end();
      };
      auto weigh = [&] {
        hold(scores);
        part.hide_unseen(scores, work.s, row, key);
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i) scores[n][i] = power2(fmaf(scores[n][i], factor, -less[i / 2]));
      };
      auto change = [&] {
        hold(dots);
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i) dots[n][i] = scores[n][i] * (dots[n][i] - dot[i / 2]);
      };
      auto make_ready = [&] {
        as_left<T>(changes, dots);
        pending = ring.stage;
        ring.next();
      };
      auto add = [&] {
        add_product<T, D>(sums, changes, k_tile(pending));
        products_end();
      };
      auto added = [&] {
        products_wait<0>();
        hold(sums);
        ring.release(pending);
      };
      if (key < part.end) {
        ring.wait_full();
        multiply();
        products_wait<1>();
        weigh();
        products_wait<0>();
        change();
        make_ready();
        for (key = work.next(key + STEP); key < part.end; key = work.next(key + STEP)) {
          ring.wait_full();
          multiply();
          // The sum follows one step behind: while weights are made, it is under way.
          add();
          products_wait<2>();
          weigh();
          products_wait<1>();
          change();
          added();
          make_ready();
        }
        products_begin();
        add();
        added();
      }
      hold(left_q);
      if constexpr (KEPT) hold(left_grad);
      else own_ring.release(0);
      // Keys that other warpgroups of the block see and this one does not.
      for (; key < work.end; key = work.next(key + STEP)) {
        ring.wait_full();
        ring.pass();
      }
      f32 scale[2] = {f32(a.scale), f32(a.scale)};
      store_rows<T, D>(dq + first_row * D, sums, part.begin + i32(warp) * 16, part.last + 1, scale);
    });
  }
}

#define BODY(F, T, D, ...)                                                                                             \
  if (a.documents) F<T, D, true>(__VA_ARGS__);                                                                         \
  else F<T, D, false>(__VA_ARGS__)
#else
#define BODY(...) __trap()
#endif

#define KERNELS(T, D)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(THREADS<GROUPS>, 1)                                                 \
      hopper_keys_##D##_##T(T *dk, T *dv, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,           \
                            const f32 *delta, Attention a) {                                                           \
    BODY(keys, T, D, dk, dv, grad, q, k, v, lse, delta, a);                                                            \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(THREADS<GROUPS>, 1)                                            \
      hopper_queries_##D##_##T(T *dq, const T *grad, const T *q, const T *k, const T *v, const f32 *lse,               \
                               const f32 *delta, u32 heads, Attention a) {                                             \
    BODY(queries, T, D, dq, grad, q, k, v, lse, delta, heads, a);                                                      \
  }
KERNELS(bf16, 64)
KERNELS(f16, 64)
KERNELS(bf16, 128)
KERNELS(f16, 128)
