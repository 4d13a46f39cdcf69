// The machine below the library: CUDA's runtime, linked statically. See backend.h.
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "cuda/core/backend.h"
#include "cuda/core/cuda.h"
#include "cuda/core/failure.h"

namespace ranvier::backend {
namespace {

Failure failure_of(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation:
      return Failure::Memory;
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return Failure::Driver;
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidKernelImage:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorInvalidDeviceFunction:
      return Failure::Architecture;
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
      return Failure::Lost;
    case cudaErrorDevicesUnavailable:
      return Failure::Busy;
    default:
      return Failure::Other;
  }
}

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // the next call starts clean, where the context survived
  raise_failure(failure_of(code), what, cudaGetErrorString(code));
}

// The oldest compute capability that the library has code for.
constexpr int kOldest = 80;

__global__ void probe_kernel() {}

struct Block {
  void* data;
  int64_t bytes;
};
// Plain memory that the kernels of one stream take turns with.
struct Workspace {
  std::vector<Block> all, free;
};
struct State {
  bool ready = false;
  bool pools = false;  // the driver has memory in the order of a stream
  cudaStream_t stream = nullptr;
  std::vector<cudaEvent_t> stamps;
  Workspace workspace;  // where it has not
};
constexpr int kMostDevices = 64;
State g_states[kMostDevices];
std::mutex g_lock, g_workspace_lock;

struct Graph {
  cudaGraphExec_t exec = nullptr;
  Workspace workspace;  // of its kernels, its own as long as it lives
  ~Graph() {
    if (exec) cudaGraphExecDestroy(exec);
    for (const Block& b : workspace.all) cudaFree(b.data);
  }
};
// What this thread writes down: a stream of its own, so that other threads go on as they were.
struct Writing {
  int device;
  cudaStream_t stream = nullptr;
  std::unique_ptr<Graph> graph;
  ~Writing() {
    if (stream) cudaStreamDestroy(stream);
  }
};
thread_local std::unique_ptr<Writing> t_writing;

#define RV_TEXT_(x) #x
#define RV_TEXT(x) RV_TEXT_(x)

cudaStream_t stream_of(const Place& p) { return static_cast<cudaStream_t>(p.stream); }

bool writes(const Place& p) { return t_writing && p.stream == t_writing->stream; }

int capability(int device) {
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cuda");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cuda");
  return 10 * major + minor;
}

}  // namespace

const char* const kFlavor = "cuda";
const char* const kBuilt = "CUDA " RV_TEXT(__CUDACC_VER_MAJOR__) "." RV_TEXT(
    __CUDACC_VER_MINOR__) " for " RV_ARCHITECTURES;
// RANVIER_POISON=1, for tests: fresh memory is NaN, of the exact size, and never used again, so
// that nobody relies on what was there, and compute-sanitizer sees where an array ends.
const bool kExact = [] {
  const char* v = getenv("RANVIER_POISON");
  return v && *v && strcmp(v, "0") != 0;
}();

int devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaErrorNoDevice || (code == cudaSuccess && count == 0)) {
    cudaGetLastError();
    fail("cuda", ErrorKind::Runtime,
         "the driver shows no GPU - see `nvidia-smi` and CUDA_VISIBLE_DEVICES");
  }
  check(code, "cuda");
  // The first one stands for "cuda", and decides whether it can be used.
  if (const int found = capability(0); found < kOldest)
    raise_failure(Failure::Architecture, "cuda",
                  text("expected a GPU of compute capability ", kOldest / 10, ".", kOldest % 10,
                       " or higher, got one of ", found / 10, ".", found % 10));
  return count;
}

std::string describe(int device) {
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, device), "cuda");
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "cuda");
  check(cudaRuntimeGetVersion(&runtime), "cuda");
  return text(p.name, ", ", p.totalGlobalMem >> 20, " MiB, ", p.multiProcessorCount,
              " processors, compute capability ", p.major, '.', p.minor, ", driver for CUDA ",
              driver / 1000, '.', driver % 1000 / 10, ", built with CUDA ", runtime / 1000, '.',
              runtime % 1000 / 10);
}

Place place(int device) {
  if (t_writing && t_writing->device == device) {
    check(cudaSetDevice(device), "cuda");  // another may have been used in between
    return {device, t_writing->stream};
  }
  RV_CHECK(device < kMostDevices, "cuda", Runtime, "expected a device below ", kMostDevices,
           ", got ", device);
  std::lock_guard guard(g_lock);
  State& s = g_states[device];
  if (!s.ready) {
    const int count = devices();
    RV_CHECK(device < count, "cuda", Runtime, "expected a device from cuda:0 to cuda:", count - 1,
             ", got cuda:", device);
    check(cudaSetDevice(device), "cuda");
    cudaFuncAttributes attributes{};  // is there code for this GPU?
    check(cudaFuncGetAttributes(&attributes, probe_kernel), "cuda");
    int pools = 0;
    check(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device), "cuda");
    s.pools = pools != 0;
    if (s.pools) {  // workspace is kept, not given back after each kernel
      cudaMemPool_t pool;
      check(cudaDeviceGetDefaultMemPool(&pool, device), "cuda");
      uint64_t keep = UINT64_MAX;
      check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "cuda");
    }
    check(cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking), "cuda");
    s.ready = true;
  }
  check(cudaSetDevice(device), "cuda");
  return {device, s.stream};
}

void check_launch(const char* kernel) {
  // Forgotten at once: the next launch must not be blamed for it.
  if (const cudaError_t code = cudaGetLastError(); code != cudaSuccess)
    raise_failure(failure_of(code), kernel, text("the launch failed: ", cudaGetErrorString(code)));
}
void finish(const Place&) { check_launch("cuda"); }

static void poison(const Place& p, void* data, size_t size) {
  if (kExact) check(cudaMemsetAsync(data, 0xff, size, stream_of(p)), "allocate");
}

// Lets the device's own pool of workspace go: what its kernels still use is kept.
static void empty_pool(const Place& p) {
  if (!writes(p)) cudaStreamSynchronize(stream_of(p));
  State& s = g_states[p.device];
  if (cudaMemPool_t pool; s.pools && cudaDeviceGetDefaultMemPool(&pool, p.device) == cudaSuccess)
    cudaMemPoolTrimTo(pool, 0);
  std::lock_guard guard(g_workspace_lock);
  for (const Block& b : s.workspace.free) {
    cudaFree(b.data);
    std::erase_if(s.workspace.all, [&](const Block& other) { return other.data == b.data; });
  }
  s.workspace.free.clear();
  cudaGetLastError();
}

void* allocate(int device, int64_t bytes) {
  const Place p = place(device);
  const size_t size = static_cast<size_t>(bytes > 0 ? bytes : 1);
  void* data = nullptr;
  if (cudaMalloc(&data, size) != cudaSuccess) {
    cudaGetLastError();
    empty_pool(p);
    check(cudaMalloc(&data, size), "allocate");
  }
  poison(p, data, size);
  return data;
}
void release(int device, void* data) {
  place(device);
  check(cudaFree(data), "release");
}

// While a graph is written down its workspace is plain memory of its own, as is that of a driver
// without pools.
static void* take_workspace(Workspace& w, int device, int64_t bytes) {
  {
    std::lock_guard guard(g_workspace_lock);
    Block* best = nullptr;
    for (Block& b : w.free)
      if (b.bytes >= bytes && (!best || b.bytes < best->bytes)) best = &b;
    if (best) {
      void* data = best->data;
      *best = w.free.back();
      w.free.pop_back();
      return data;
    }
  }
  void* data = nullptr;
  try {
    data = allocate(device, bytes);
  } catch (const Error&) {
    relieve(device);
    data = allocate(device, bytes);
  }
  std::lock_guard guard(g_workspace_lock);
  w.all.push_back({data, bytes});
  return data;
}
static void leave_workspace(Workspace& w, void* data) {
  std::lock_guard guard(g_workspace_lock);
  for (const Block& b : w.all)
    if (b.data == data) w.free.push_back(b);
}

void* allocate_scratch(const Place& p, int64_t bytes) {
  if (writes(p)) return take_workspace(t_writing->graph->workspace, p.device, bytes);
  if (State& s = g_states[p.device]; !s.pools) return take_workspace(s.workspace, p.device, bytes);
  const size_t size = static_cast<size_t>(bytes);
  void* data = nullptr;
  if (cudaMallocAsync(&data, size, stream_of(p)) != cudaSuccess) {
    cudaGetLastError();
    relieve(p.device);
    empty_pool(p);
    check(cudaMallocAsync(&data, size, stream_of(p)), "allocate");
  }
  poison(p, data, size);
  return data;
}
void release_scratch(const Place& p, void* data) {
  if (writes(p)) return leave_workspace(t_writing->graph->workspace, data);
  if (State& s = g_states[p.device]; !s.pools) return leave_workspace(s.workspace, data);
  // Called by destructors: a failure here shows in the next call that checks.
  cudaFreeAsync(data, stream_of(p));
}

void copy(const Place& p, void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream_of(p)),
        "copy");
  cudaPointerAttributes a{}, b{};
  check(cudaPointerGetAttributes(&a, to), "copy");
  check(cudaPointerGetAttributes(&b, from), "copy");
  if (a.type != cudaMemoryTypeDevice || b.type != cudaMemoryTypeDevice) synchronize(p);
}

void synchronize(const Place& p) {
  check(cudaStreamSynchronize(stream_of(p)), "synchronize");
  raise_index_error();
}

void graph_begin(int device) {
  place(device);
  RV_CHECK(!t_writing, "capture", Runtime, "expected one graph at a time in a thread");
  auto w = std::make_unique<Writing>();
  w->device = device;
  w->graph = std::make_unique<Graph>();
  check(cudaStreamCreateWithFlags(&w->stream, cudaStreamNonBlocking), "capture");
  // Relaxed: workspace may be allocated on the way.
  check(cudaStreamBeginCapture(w->stream, cudaStreamCaptureModeRelaxed), "capture");
  t_writing = std::move(w);
}

void* graph_end(int device, bool keep) {
  RV_CHECK(t_writing && t_writing->device == device, "capture", Runtime,
           "expected a graph that was begun");
  const std::unique_ptr<Writing> w = std::move(t_writing);  // gone, whatever happens below
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(w->stream, &graph);
  if (!keep) {
    cudaGetLastError();
    if (graph) cudaGraphDestroy(graph);
    return nullptr;
  }
  check(ended, "capture");
  const cudaError_t made = cudaGraphInstantiate(&w->graph->exec, graph, 0);
  cudaGraphDestroy(graph);
  check(made, "capture");
  return w->graph.release();
}

void graph_launch(const Place& p, void* graph) {
  check(cudaGraphLaunch(static_cast<Graph*>(graph)->exec, stream_of(p)), "capture");
}

void graph_release(const Place& p, void* graph) {
  // It may be running: in the device's own stream. To wait for one that is captured would spoil the
  // graph that this thread may be writing.
  cudaStreamSynchronize(g_states[p.device].stream);
  delete static_cast<Graph*>(graph);
}

void stamp(const Place& p, int64_t index) {
  std::vector<cudaEvent_t>& stamps = g_states[p.device].stamps;
  while (static_cast<int64_t>(stamps.size()) <= index) {
    cudaEvent_t event;
    check(cudaEventCreate(&event), "profile");
    stamps.push_back(event);
  }
  check(cudaEventRecord(stamps[static_cast<size_t>(index)], stream_of(p)), "profile");
}

int64_t elapsed(const Place& p, int64_t from, int64_t to) {
  const std::vector<cudaEvent_t>& stamps = g_states[p.device].stamps;
  const auto size = static_cast<int64_t>(stamps.size());
  RV_CHECK(from < size && to < size, "profile", Runtime, "expected times that were noted");
  check(cudaEventSynchronize(stamps[static_cast<size_t>(to)]), "profile");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, stamps[static_cast<size_t>(from)],
                             stamps[static_cast<size_t>(to)]),
        "profile");
  return static_cast<int64_t>(static_cast<double>(milliseconds) * 1e6);
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
