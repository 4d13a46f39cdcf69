// Clusters (sm_90): neighbouring blocks that run at the same time, reach into each other's shared
// memory and wait for each other. Kernels that use them are started by launch_cluster.
//
//   cluster_rank()                          // of this block, from 0
//   cluster_barrier();                      // all threads of all blocks; also __syncthreads
//   cluster_store(array, rank, i, value);   // into the array of another block, or one's own
//   cluster_load(array, rank, i);
//
// A barrier comes before the first access to another block, which may not have begun, and after the
// last, since a block that has ended has no memory.
#pragma once

#include <stdint.h>

#include "cuda/core/cuda.h"

namespace ranvier {

#if defined(__CUDACC__)

__device__ __forceinline__ int cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}
__device__ __forceinline__ void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release;\n barrier.cluster.wait.acquire;" ::: "memory");
}
template <int N>
__device__ __forceinline__ uint32_t address_in(float (&array)[N], int rank, int i) {
  uint32_t there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(there)
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(&array[i]))), "r"(rank));
  return there;
}
template <int N>
__device__ __forceinline__ void cluster_store(float (&array)[N], int rank, int i, float value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address_in(array, rank, i)), "f"(value)
               : "memory");
}
template <int N>
__device__ __forceinline__ float cluster_load(float (&array)[N], int rank, int i) {
  float value;
  asm volatile("ld.shared::cluster.f32 %0, [%1];"
               : "=f"(value)
               : "r"(address_in(array, rank, i))
               : "memory");
  return value;
}

#else

namespace emulation {
int rank();
void meet(Site site);
const Segment& of_peer(const Segment& mine, int rank);
}  // namespace emulation

inline int cluster_rank() { return emulation::rank(); }
inline void cluster_barrier(emulation::Site site = emulation::Site::here()) {
  emulation::meet(site);
}
template <int64_t N>
void cluster_store(const emulation::Shared<float, N>& array, int rank, int i, float value) {
  emulation::Cell<float>(emulation::of_peer(array.segment(), rank), i) = value;
}
template <int64_t N>
float cluster_load(const emulation::Shared<float, N>& array, int rank, int i) {
  return emulation::Cell<float>(emulation::of_peer(array.segment(), rank), i);
}

#endif

}  // namespace ranvier
