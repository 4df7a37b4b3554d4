// The table of cosines and sines of rotary embeddings, made once a call and read by all heads.
#pragma once
#include "common.cuh"

// Cosine and sine of one component at one token.
template <typename A> struct alignas(2 * sizeof(A)) Turn {
  A cos, sin;
};

// Components whose frequencies a kernel takes by value. They come from the host, where powers have the same bits on every
// machine: far from the start an angle shows their last digit.
constexpr int COMPONENTS = 128;

struct Frequencies {
  f64 values[COMPONENTS];
};

template <typename A> __device__ __forceinline__ Turn<A> turn_at(f64 position, f64 frequency) {
  f64 sine, cosine;
  sincos(position * frequency, &sine, &cosine);
  return Turn<A>{A(cosine), A(sine)};
}

// Rows of `half` turns: token t of sequence b lies in row b · tokens + t, or in row t where all sequences start at 0.
template <typename A> struct Angles {
  const Turn<A> *table;
  u32 tokens, half, per_sequence;

  __device__ __forceinline__ const Turn<A> *row(u32 b, u32 t) const {
    return table + (u64(per_sequence ? b : 0) * tokens + t) * half;
  }
};
