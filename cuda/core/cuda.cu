// The machine below the library: CUDA's runtime, linked statically. See backend.h.
#include <unistd.h>

#include <mutex>

#include "core/check.h"
#include "cuda/core/backend.h"
#include "cuda/core/cuda.h"

namespace ranvier::backend {
namespace {

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // the next call starts clean, where the context survived
  const bool memory = code == cudaErrorMemoryAllocation;
  const char* cure =
      code == cudaErrorInsufficientDriver ? " - install a driver for CUDA 13 (580 or newer)"
      : code == cudaErrorNoKernelImageForDevice
          ? " - this GPU is older than compute capability 8.0, the least that ranvier is built for"
      : code == cudaErrorIllegalAddress || code == cudaErrorLaunchFailure
          ? " - the process has lost the GPU: save what is on the cpu and start again"
          : "";
  fail(what, memory ? ErrorKind::Memory : ErrorKind::Runtime, cudaGetErrorString(code), cure);
}

struct State {
  bool ready = false;
  cudaStream_t stream = nullptr;
};
constexpr int kMostDevices = 64;
State g_states[kMostDevices];
std::mutex g_lock;
int g_process = 0;  // a child of fork cannot use its parent's context

#define RV_TEXT_(x) #x
#define RV_TEXT(x) RV_TEXT_(x)

}  // namespace

const char* const kFlavor = "cuda";
const char* const kBuilt = "CUDA " RV_TEXT(__CUDACC_VER_MAJOR__) "." RV_TEXT(
    __CUDACC_VER_MINOR__) " for " RV_ARCHITECTURES;
const bool kExact = false;

int devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaErrorNoDevice) return 0;
  check(code, "cuda");
  return count;
}

std::string describe(int device) {
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, device), "cuda");
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "cuda");
  return text(p.name, ", ", p.totalGlobalMem >> 20, " MiB, compute capability ", p.major, '.',
              p.minor, ", driver for CUDA ", driver / 1000, '.', driver % 1000 / 10);
}

Place place(int device) {
  RV_CHECK(device < kMostDevices, "cuda", Runtime, "expected a device below ", kMostDevices,
           ", got ", device);
  std::lock_guard guard(g_lock);
  const int process = static_cast<int>(getpid());
  if (!g_process) g_process = process;
  RV_CHECK(g_process == process, "cuda", Runtime,
           "expected the process that used the GPU first, got a child of it - start workers with "
           "the method 'spawn', or use the GPU in the workers only");
  State& s = g_states[device];
  if (!s.ready) {
    const int count = devices();
    RV_CHECK(device < count, "cuda", Runtime, "expected a device from cuda:0 to cuda:", count - 1,
             ", got cuda:", device);
    check(cudaSetDevice(device), "cuda");
    check(cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking), "cuda");
    cudaMemPool_t pool;  // workspace is kept, not given back after each kernel
    check(cudaDeviceGetDefaultMemPool(&pool, device), "cuda");
    uint64_t keep = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "cuda");
    s.ready = true;
  }
  check(cudaSetDevice(device), "cuda");
  return {device, s.stream};
}

void finish(const Place&) { check(cudaPeekAtLastError(), "cuda"); }

void* allocate(int device, int64_t bytes) {
  place(device);
  void* p = nullptr;
  check(cudaMalloc(&p, static_cast<size_t>(bytes > 0 ? bytes : 1)), "allocate");
  return p;
}
void release(int device, void* data) {
  place(device);
  check(cudaFree(data), "release");
}
void* allocate_scratch(const Place& p, int64_t bytes) {
  void* data = nullptr;
  check(cudaMallocAsync(&data, static_cast<size_t>(bytes), static_cast<cudaStream_t>(p.stream)),
        "allocate");
  return data;
}
void release_scratch(const Place& p, void* data) {
  // Called by destructors: a failure here shows in the next call that checks.
  cudaFreeAsync(data, static_cast<cudaStream_t>(p.stream));
}

void copy(const Place& p, void* to, const void* from, int64_t bytes) {
  auto stream = static_cast<cudaStream_t>(p.stream);
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream), "copy");
  cudaPointerAttributes a{}, b{};
  check(cudaPointerGetAttributes(&a, to), "copy");
  check(cudaPointerGetAttributes(&b, from), "copy");
  if (a.type != cudaMemoryTypeDevice || b.type != cudaMemoryTypeDevice) synchronize(p);
}

void synchronize(const Place& p) {
  check(cudaStreamSynchronize(static_cast<cudaStream_t>(p.stream)), "synchronize");
  raise_index_error();
}

IndexFlag* index_flag() {
  static IndexFlag* flag = [] {
    void* p = nullptr;
    check(cudaHostAlloc(&p, sizeof(IndexFlag), cudaHostAllocMapped | cudaHostAllocPortable),
          "cuda");
    return new (p) IndexFlag{};
  }();
  return flag;
}

void option(const std::string& name, const std::string&) {
  fail("cuda", ErrorKind::Value, "expected the emulation for the option ", name);
}

}  // namespace ranvier::backend
