// Starting kernels, reaching arrays from them, and workspace: what every .cu file includes.
#pragma once

#include <tuple>

#include "core/args.h"
#include "core/check.h"
#include "cuda/core/cuda.h"
#include "cuda/core/registry.h"

namespace ranvier {

// The first element of an array, as kernels address it.
template <class T>
T* device_data(const ArrayRef& r) {
  if (!r.storage) return nullptr;
#if defined(__CUDACC__)
  void* base = r.storage->data;
#else
  void* base = emulation::reach(r.storage->data);
#endif
  return reinterpret_cast<T*>(static_cast<char*>(base) + r.offset);
}

inline int64_t element_count(const ArrayRef& r) {
  int64_t n = 1;
  for (int i = 0; i < r.ndim; ++i) n *= r.shape[i];
  return n;
}

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of a launch along y and z. Few under emulation: what takes several launches is tested.
#if defined(__CUDACC__)
constexpr int64_t kMostBlocksDeep = 65535;
#else
constexpr int64_t kMostBlocksDeep = 5;
#endif

#if defined(__CUDACC__)
// What the runtime wants to know of a launch in clusters; its attribute lies in it.
struct ClusterLaunch {
  cudaLaunchAttribute attribute{};
  cudaLaunchConfig_t config{};
  ClusterLaunch(dim3 grid, dim3 block, int cluster, int shared, cudaStream_t stream) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = static_cast<unsigned>(cluster);
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = static_cast<size_t>(shared);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  ClusterLaunch(const ClusterLaunch&) = delete;
};
#endif

// launch(context, grid, block, kernel, arguments...): the only way to start a kernel. launch_large
// also takes the bytes of its RV_SHARED_LARGE array, launch_cluster how many neighbours along x
// form a cluster (cluster.h; 0: no clusters).
template <class... Parameters, class... Arguments>
void launch_cluster(const Context& context, dim3 grid, dim3 block, int cluster, int shared,
                    void (*kernel)(Parameters...), const Arguments&... arguments) {
#if defined(__CUDACC__)
  if (shared > 48 * 1024)
    cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                         cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
  const auto stream = static_cast<cudaStream_t>(context.place.stream);
  if (cluster > 0) {
    const ClusterLaunch l(grid, block, cluster, shared, stream);
    cudaLaunchKernelEx(&l.config, kernel, static_cast<Parameters>(arguments)...);
  } else {
    kernel<<<grid, block, static_cast<size_t>(shared), stream>>>(arguments...);
  }
  backend::check_launch(context.kernel);
#else
  // By value, as the arguments of a kernel are: a graph keeps them for its replays.
  using Given = std::tuple<Parameters...>;
  struct Call {
    void (*kernel)(Parameters...);
    Given given;
  };
  Call call{kernel, Given(static_cast<Parameters>(arguments)...)};
  emulation::launch(
      context.kernel, grid, block, &call,
      [](void* c) { std::apply(static_cast<Call*>(c)->kernel, static_cast<Call*>(c)->given); },
      [](const void* c) -> void* { return new Call(*static_cast<const Call*>(c)); },
      [](void* c) { delete static_cast<Call*>(c); }, shared, cluster > 0 ? cluster : 1);
#endif
}
template <class... Parameters, class... Arguments>
void launch_large(const Context& context, dim3 grid, dim3 block, int shared,
                  void (*kernel)(Parameters...), const Arguments&... arguments) {
  launch_cluster(context, grid, block, 0, shared, kernel, arguments...);
}
template <class... Parameters, class... Arguments>
void launch(const Context& context, dim3 grid, dim3 block, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  launch_cluster(context, grid, block, 0, 0, kernel, arguments...);
}

// Whether the device can hold a cluster of a kernel that launch_cluster is to start.
template <class... Parameters>
bool cluster_fits([[maybe_unused]] dim3 block, [[maybe_unused]] int cluster,
                  [[maybe_unused]] int shared, [[maybe_unused]] void (*kernel)(Parameters...)) {
#if defined(__CUDACC__)
  const ClusterLaunch l(dim3(static_cast<unsigned>(cluster)), block, cluster, shared, nullptr);
  int clusters = 0;
  const bool found =
      cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                           cudaFuncAttributeMaxDynamicSharedMemorySize, shared) == cudaSuccess &&
      cudaOccupancyMaxActiveClusters(&clusters, kernel, &l.config) == cudaSuccess;
  cudaGetLastError();
  return found && clusters > 0;
#else
  return true;
#endif
}

// Workspace of one kernel, given back in the order of the stream. Not initialized.
class Scratch {
 public:
  Scratch(const Context& context, int64_t bytes) : place_(context.place) {
    if (bytes > 0) data_ = backend::allocate_scratch(place_, bytes);
  }
  ~Scratch() {
    if (data_) backend::release_scratch(place_, data_);
  }
  Scratch(const Scratch&) = delete;
  template <class T>
  T* as() const {
#if defined(__CUDACC__)
    return static_cast<T*>(data_);
#else
    return data_ ? static_cast<T*>(emulation::reach(data_)) : nullptr;
#endif
  }

 private:
  backend::Place place_;
  void* data_ = nullptr;
};

}  // namespace ranvier
