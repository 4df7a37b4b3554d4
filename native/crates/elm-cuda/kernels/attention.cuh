// What all kernels of attention share: the sizes of a call, and which keys a query sees. `attention.rs` makes it.
#pragma once
#include "common.cuh"

// Keys whose smallest and largest document are known.
constexpr u32 SPAN = 64;

struct Attention {
  u32 heads, group, queries, keys, dim, causal;
  f64 scale;
  // Steps of batch, head and token; components lie side by side.
  i64 q[3], k[3], v[3], grad[3], y[3];
  // [batch, keys], or null.
  const i32 *documents;
  // [batch, spans] of smallest and largest document, null without documents.
  const int2 *spans;
  // [batch], or null.
  const i32 *lengths;
  u64 *word;
};

__device__ __forceinline__ u32 kv_heads(const Attention &a) { return a.heads / a.group; }

// Keys of sequence b that exist; none if the length is out of range.
__device__ __forceinline__ i32 length_of(const Attention &a, u32 b) {
  if (!a.lengths) return i32(a.keys);
  i32 length = a.lengths[b];
  if (length >= 0 && u32(length) <= a.keys) return length;
  report(a.word, b, length);
  return 0;
}

// One sequence and the keys in it.
struct Sequence {
  i32 length, queries;
  bool causal;
  const i32 *documents;
  const int2 *spans;

  __device__ __forceinline__ Sequence(const Attention &a, u32 b)
      : length(length_of(a, b)), queries(i32(a.queries)), causal(a.causal != 0),
        documents(a.documents ? a.documents + u64(b) * a.keys : nullptr),
        spans(a.documents ? a.spans + u64(b) * ((a.keys + SPAN - 1) / SPAN) : nullptr) {}

  __device__ __forceinline__ i32 position(i32 query) const { return length - queries + query; }

  // Query sees keys below this, of its own document.
  __device__ __forceinline__ i32 limit(i32 query) const {
    i32 at = position(query);
    if (documents && at < 0) return 0;
    return causal ? (at < -1 ? 0 : at + 1) : length;
  }

  // The first query that sees key `key` or one behind it, by its position alone.
  __device__ __forceinline__ i32 first_query(i32 key) const {
    i32 first = causal ? key - (length - queries) : documents ? queries - length : 0;
    return first < 0 ? 0 : first;
  }

  __device__ __forceinline__ i32 document(i32 query) const {
    i32 at = position(query);
    return documents && at >= 0 ? documents[at] : 0;
  }

  // Smallest and largest document of keys first … last, and perhaps of some beside them.
  __device__ __forceinline__ int2 range(i32 first, i32 last) const {
    int2 all = make_int2(0x7FFFFFFF, -0x7FFFFFFF - 1);
    for (i32 span = (first < 0 ? 0 : first) / i32(SPAN); span <= last / i32(SPAN) && last >= 0; ++span) {
      int2 one = spans[span];
      all.x = one.x < all.x ? one.x : all.x;
      all.y = one.y > all.y ? one.y : all.y;
    }
    return all;
  }
};

// How queries meet keys: not at all, all of them each other, or some of them.
enum class Meeting { NONE, ALL, SOME };

// Queries `first` … `last` (documents `own`) and keys `key` … `key + count − 1`.
__device__ __forceinline__ Meeting meeting(const Sequence &s, i32 first, i32 last, int2 own, i32 key, i32 count) {
  if (key >= s.limit(last)) return Meeting::NONE;
  bool all = key + count <= s.limit(first);
  if (s.documents) {
    int2 theirs = s.range(key, key + count - 1 < s.length ? key + count - 1 : s.length - 1);
    if (theirs.x > own.y || theirs.y < own.x) return Meeting::NONE;
    all = all && own.x == own.y && theirs.x == theirs.y && own.x == theirs.x;
  }
  return all ? Meeting::ALL : Meeting::SOME;
}
