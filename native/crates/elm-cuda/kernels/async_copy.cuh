// Copies into shared memory that go on while a thread does other things, until it waits for them.
#pragma once
#include "common.cuh"

__device__ __forceinline__ u32 shared_address(const void *at) { return u32(__cvta_generic_to_shared(at)); }

// Sixteen bytes into shared memory behind the threads' backs; zeros if not `real`.
__device__ __forceinline__ void copy16(u32 to, const void *from, bool real) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(real ? 16 : 0) : "memory");
}
// One number of four bytes.
__device__ __forceinline__ void copy4(u32 to, const void *from, bool real) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(real ? 4 : 0) : "memory");
}
// Closes a group of those that this thread has started.
__device__ __forceinline__ void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all groups but the last `OPEN`.
template <int OPEN> __device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(OPEN) : "memory");
}
// Waits for all that this thread has started.
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }
