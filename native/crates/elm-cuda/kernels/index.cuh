// Flat indices taken apart.
#pragma once
#include "common.cuh"

// The remainder of `flat` by `by`; `flat` becomes the quotient. 32-bit division is several times cheaper.
__device__ __forceinline__ u64 take_off(u64 &flat, u64 by) {
  if ((flat | by) <= 0xFFFFFFFFu) {
    u32 quotient = u32(flat) / u32(by), rest = u32(flat) - quotient * u32(by);
    flat = quotient;
    return rest;
  }
  u64 quotient = flat / by, rest = flat - quotient * by;
  flat = quotient;
  return rest;
}
