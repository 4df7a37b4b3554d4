// Blocks that run together and write to each other's shared memory. Chips before Hopper have none: kernels made of this are
// only launched where `cluster.rs` allows it.
#pragma once
#include "common.cuh"

#if __CUDA_ARCH__ >= 900
// What every thread of the cluster wrote before it arrives can be read after the wait. All threads call both, in turns.
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// Where `own`, which lies in shared memory of this block, lies in block `rank` of the cluster.
__device__ __forceinline__ u32 address_in(u32 rank, const void *own) {
  u32 address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(u32(__cvta_generic_to_shared(own))), "r"(rank));
  return address;
}
__device__ __forceinline__ void store_in(u32 rank, float2 *own, f32 a, f32 b) {
  asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(address_in(rank, own)), "f"(a), "f"(b) : "memory");
}
__device__ __forceinline__ void store_in(u32 rank, float4 *own, f32 a, f32 b, f32 c, f32 d) {
  asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(address_in(rank, own)), "f"(a), "f"(b), "f"(c),
               "f"(d)
               : "memory");
}
#else
__device__ __forceinline__ void cluster_arrive() {}
__device__ __forceinline__ void cluster_wait() {}
__device__ __forceinline__ void store_in(u32, float2 *, f32, f32) {}
__device__ __forceinline__ void store_in(u32, float4 *, f32, f32, f32, f32) {}
#endif
