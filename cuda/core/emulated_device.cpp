// The device of the emulation: guarded memory, graphs, and failures on demand.
#include "cuda/core/emulated_device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "cuda/core/backend.h"
#include "cuda/core/failure.h"
#include "cuda/core/traffic.h"

namespace ranvier::emulation {
namespace {

// ---- Device memory ------------------------------------------------------------------------------

// Device addresses lie in a reserved range that nobody can touch; `kSpan` bytes above each lies the
// memory itself, which only kernels and copies look for. A block ends where its last page ends,
// with an unreadable page behind it.
constexpr int64_t kSpan = int64_t{1} << 40;

struct Heap {
  std::mutex lock;
  char* base = nullptr;
  int64_t used = 0;
  std::map<int64_t, int64_t> live;               // offset of the data -> bytes
  std::map<int64_t, std::vector<int64_t>> free;  // pages -> offsets of the first page
};
Heap& heap() {
  static auto* h = new Heap;
  return *h;
}

int64_t pages_of(int64_t bytes) {
  return std::max<int64_t>(1, (bytes + static_cast<int64_t>(kPage) - 1) / kPage);
}

}  // namespace

bool is_device_memory(const void* address) {
  static const Heap& h = heap();
  return h.base && static_cast<uint64_t>(static_cast<const char*>(address) - h.base - kSpan) <
                       static_cast<uint64_t>(kSpan);
}

std::string about_address(const void* address) {
  Heap& h = heap();
  const int64_t at = static_cast<const char*>(address) - h.base - kSpan;
  auto text_of = [](int64_t n, int64_t size, const char* side) {
    return text("an access ", n, " bytes ", side, " an array of ", size, " bytes");
  };
  auto after = h.live.upper_bound(at);
  if (after != h.live.begin()) {
    auto before = std::prev(after);
    const int64_t past = at - (before->first + before->second);
    if (past >= 0 && past < 4 * static_cast<int64_t>(kPage))
      return text_of(past, before->second, "past the end of");
  }
  if (after != h.live.end() && after->first - at < 4 * static_cast<int64_t>(kPage))
    return text_of(after->first - at, after->second, "before the start of");
  return "an access to memory that is no device array, or is one no more";
}

// ---- Graphs -------------------------------------------------------------------------------------

namespace {

struct Written {  // a launch, with its arguments as they were
  const char* kernel;
  dim3 grid, block;
  void* call;
  void (*body)(void*);
  void (*destroy)(void*);
  int large, cluster;
};

struct Graph {
  int device = 0;
  bool broken = false;  // by a call that a stream which is captured refuses
  std::vector<Written> launches;
  std::vector<std::pair<void*, int64_t>> workspace;
  Graph() = default;
  Graph(const Graph&) = delete;
  ~Graph() {
    for (const Written& w : launches) w.destroy(w.call);
    for (const auto& [data, bytes] : workspace) backend::release(device, data);
  }
};
thread_local std::unique_ptr<Graph> t_writing;

// What is to fail, once or always, and after how many times that it does not (option "fail").
std::mutex g_failure_lock;
std::string g_failing;
int64_t g_failures_left = 0;
bool g_fails_always = false;
bool told(const char* where) {
  std::lock_guard guard(g_failure_lock);
  return g_failing == where;
}
void fail_if_told(const char* where) {
  std::lock_guard guard(g_failure_lock);
  using backend::Failure;
  if (g_failing == "lost")
    backend::raise_failure(Failure::Lost, "cuda", "an illegal memory access was encountered");
  if (!strcmp(where, "place") && g_failing == "image")
    backend::raise_failure(Failure::Architecture, "cuda",
                           "no kernel image is available for execution on the device");
  if (!strcmp(where, "place") && g_failing == "busy")
    backend::raise_failure(Failure::Busy, "cuda",
                           "CUDA-capable device(s) is/are busy or unavailable");
  if (g_failing != where || g_failures_left-- > 0) return;
  if (!g_fails_always) g_failing.clear();
  if (!strcmp(where, "launch"))
    backend::raise_failure(Failure::Other, "cuda", "too many resources requested for launch");
  if (!strcmp(where, "graph"))
    backend::raise_failure(Failure::Other, "capture", "operation not supported");
  backend::raise_failure(Failure::Memory, where, "out of memory");
}

// What CUDA refuses in a stream that is captured: whatever waits for the device, or asks what has
// happened on it. The graph is lost then, even if the caller goes on, and so is what it does next.
void refuse_in_capture() {
  if (!t_writing) return;
  t_writing->broken = true;
  fail("capture", ErrorKind::Runtime, "operation not permitted when stream is capturing");
}
void check_capture() {
  RV_CHECK(!t_writing || !t_writing->broken, "capture", Runtime,
           "operation failed due to a previous error during capture");
}

}  // namespace

void launch(const char* kernel, dim3 grid, dim3 block, void* call, void (*body)(void*),
            void* (*copy)(const void*), void (*destroy)(void*), int large, int cluster) {
  fail_if_told("launch");
  RV_CHECK(cluster == 1 || !told("cluster"), kernel, Runtime, "a cluster fails, as told");
  check_capture();
  if (t_writing)
    t_writing->launches.push_back({kernel, grid, block, copy(call), body, destroy, large, cluster});
  else
    run(kernel, grid, block, body, call, large, cluster);
}

bool product_fails(int columns) { return told("wgmma") || (columns == 64 && told("narrow")); }

void* reach(void* address) { return static_cast<char*>(address) + kSpan; }

}  // namespace ranvier::emulation

// ---- What the library offers --------------------------------------------------------------------

namespace ranvier::backend {
using emulation::heap;
using emulation::kPage;
using emulation::kSpan;
using emulation::t_writing;

const char* const kFlavor = "emulation";
const char* const kBuilt = "CUDA kernels compiled for the host";
const bool kExact = true;

int devices() {
  // Before the library is open nobody can set an option: the environment names this failure.
  const char* told = getenv("RANVIER_EMULATE_FAIL");
  const std::string failing = told ? told : "";
  if (failing == "driver")
    raise_failure(Failure::Driver, "cuda",
                  "CUDA driver version is insufficient for CUDA runtime version");
  if (failing == "architecture")
    raise_failure(Failure::Architecture, "cuda",
                  "expected a GPU of compute capability 8.0 or higher, got one of 7.5");
  return 2;  // the second is there to test tensors on two devices in one op
}

std::string describe(int) { return "emulated on the host, for tests"; }

Place place(int device) {
  RV_CHECK(device < devices(), "cuda", Runtime,
           "expected a device from cuda:0 to cuda:", devices() - 1, ", got cuda:", device);
  emulation::fail_if_told("place");
  return {device, nullptr};
}

void check_launch(const char*) {}  // `launch` raises by itself
void finish(const Place&) { raise_index_error(); }

static void* take(int64_t bytes) {
  emulation::Heap& h = heap();
  std::lock_guard guard(h.lock);
  if (!h.base) {
    void* p =
        mmap(nullptr, 2 * kSpan, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    RV_CHECK(p != MAP_FAILED, "emulation", Memory, "2 TB of addresses could not be reserved");
    h.base = static_cast<char*>(p);
  }
  const int64_t pages = emulation::pages_of(bytes), page = static_cast<int64_t>(kPage);
  std::vector<int64_t>& free = h.free[pages];
  int64_t first;
  if (free.size() > 16) {  // the oldest: what was freed just now stays out of reach for a while
    first = free.front();
    free.erase(free.begin());
  } else {
    first = h.used;
    RV_CHECK(first + (pages + 1) * page <= kSpan, "emulation", Memory,
             "the addresses that were reserved are used up");
    h.used += (pages + 1) * page;
  }
  char* memory = h.base + kSpan + first;
  RV_CHECK(mprotect(memory, static_cast<size_t>(pages * page), PROT_READ | PROT_WRITE) == 0,
           "emulation", Memory, "the host has no memory for ", bytes, " bytes");
  memset(memory, 0xff, static_cast<size_t>(pages * page));  // NaN: nobody may rely on fresh memory
  // Against the end, as far as the widest element (16 bytes) allows.
  const int64_t at = first + pages * page - (bytes + 15) / 16 * 16;
  h.live[at] = bytes;
  return h.base + at;
}

void* allocate(int, int64_t bytes) {
  emulation::fail_if_told("allocate");
  return take(bytes);
}

void release(int, void* data) {
  emulation::Heap& h = heap();
  std::lock_guard guard(h.lock);
  const int64_t at = static_cast<char*>(data) - h.base;
  const int64_t bytes = h.live.at(at), pages = emulation::pages_of(bytes);
  h.live.erase(at);
  const int64_t first = at / static_cast<int64_t>(kPage) * static_cast<int64_t>(kPage);
  char* memory = h.base + kSpan + (bytes == 0 ? at - static_cast<int64_t>(kPage) : first);
  madvise(memory, static_cast<size_t>(pages) * kPage, MADV_DONTNEED);
  mprotect(memory, static_cast<size_t>(pages) * kPage, PROT_NONE);
  h.free[pages].push_back(memory - h.base - kSpan);
}

void* allocate_scratch(const Place& p, int64_t bytes) {
  try {
    emulation::fail_if_told("workspace");
  } catch (const Error&) {  // as on a GPU: what the core keeps may be enough
    relieve(p.device);
    emulation::fail_if_told("workspace");
  }
  void* data = take(bytes);
  if (t_writing) t_writing->workspace.emplace_back(data, bytes);
  return data;
}
void release_scratch(const Place& p, void* data) {
  if (!t_writing) release(p.device, data);
}

void copy(const Place&, void* to, const void* from, int64_t bytes) {
  // CUDA takes copies within the device, but nobody asks for one here.
  emulation::refuse_in_capture();
  emulation::Heap& h = heap();
  auto host = [&](const void* p) {
    const auto at = static_cast<const char*>(p) - h.base;
    return h.base && at >= 0 && at < kSpan ? const_cast<char*>(static_cast<const char*>(p)) + kSpan
                                           : const_cast<void*>(p);
  };
  memmove(host(to), host(from), static_cast<size_t>(bytes));
}

void synchronize(const Place&) {
  emulation::refuse_in_capture();
  raise_index_error();
}

void graph_begin(int device) {
  RV_CHECK(!t_writing, "capture", Runtime, "expected one graph at a time in a thread");
  t_writing = std::make_unique<emulation::Graph>();
  t_writing->device = device;
}

void* graph_end(int device, bool keep) {
  RV_CHECK(t_writing && t_writing->device == device, "capture", Runtime,
           "expected a graph that was begun");
  const std::unique_ptr<emulation::Graph> graph = std::move(t_writing);
  if (!keep) return nullptr;
  RV_CHECK(!graph->broken, "capture", Runtime,
           "operation failed due to a previous error during capture");
  emulation::fail_if_told("graph");
  auto* made = new emulation::Graph;
  made->device = device;
  made->launches.swap(graph->launches);
  made->workspace.swap(graph->workspace);
  return made;
}

void graph_launch(const Place&, void* graph) {
  emulation::refuse_in_capture();  // CUDA makes it a part of the other: nobody asks for that
  auto* g = static_cast<emulation::Graph*>(graph);
  // What an earlier replay left in the workspace is no value to rely on.
  for (const auto& [data, bytes] : g->workspace)
    memset(emulation::reach(data), 0xff, static_cast<size_t>(bytes));
  for (const emulation::Written& w : g->launches)
    emulation::run(w.kernel, w.grid, w.block, w.body, w.call, w.large, w.cluster);
  raise_index_error();
}

void graph_release(const Place&, void* graph) { delete static_cast<emulation::Graph*>(graph); }

static std::vector<int64_t>& stamps() {
  static std::vector<int64_t> times;
  return times;
}

void stamp(const Place&, int64_t index) {
  emulation::refuse_in_capture();  // CUDA notes it in the graph, where nobody can wait for it
  const auto i = static_cast<size_t>(index);
  if (stamps().size() <= i) stamps().resize(i + 1);
  stamps()[i] = std::chrono::duration_cast<std::chrono::nanoseconds>(
                    std::chrono::steady_clock::now().time_since_epoch())
                    .count();
}

int64_t elapsed(const Place&, int64_t from, int64_t to) {
  emulation::refuse_in_capture();
  return stamps().at(static_cast<size_t>(to)) - stamps().at(static_cast<size_t>(from));
}

IndexFlag* index_flag() {
  static IndexFlag flag;
  return &flag;
}

void option(const std::string& name, const std::string& value) {
  using namespace emulation;
  if (name == "order") {
    if (value == "forward") {
      g_schedule.order = Order::Forward;
    } else if (value == "reverse") {
      g_schedule.order = Order::Reverse;
    } else {
      char* end = nullptr;
      g_schedule.seed = strtoull(value.c_str(), &end, 10);
      RV_CHECK(end && *end == 0 && !value.empty(), "emulation", Value,
               "expected order 'forward', 'reverse' or a seed, got '", value, "'");
      g_schedule.order = Order::Shuffled;
    }
  } else if (name == "copies") {
    RV_CHECK(value == "early" || value == "late", "emulation", Value,
             "expected copies 'early' or 'late', got '", value, "'");
    g_schedule.late_copies = value == "late";
  } else if (name == "tf32") {
    RV_CHECK(value == "rounded" || value == "cut", "emulation", Value,
             "expected tf32 'rounded' or 'cut', got '", value, "'");
    g_schedule.cut_tf32 = value == "cut";
  } else if (name == "fail") {  // "launch", "launch:2" (the third one), "always launch"
    const bool always = value.rfind("always ", 0) == 0;
    const size_t colon = value.find(':');
    const std::string what = always ? value.substr(7) : value.substr(0, colon);
    constexpr const char* known[] = {"none",    "allocate", "workspace", "launch", "graph", "lost",
                                     "cluster", "wgmma",    "image",     "busy",   "narrow"};
    RV_CHECK(std::find(std::begin(known), std::end(known), what) != std::end(known), "emulation",
             Value, "expected none, allocate, workspace, launch, graph, lost, cluster, wgmma, ",
             "narrow, image or busy to fail, got '", value, "'");
    std::lock_guard guard(g_failure_lock);
    g_failing = what == "none" ? "" : what;
    g_failures_left =
        colon == std::string::npos ? 0 : strtoll(value.c_str() + colon + 1, nullptr, 10);
    g_fails_always = always;
  } else if (name == "traffic") {
    RV_CHECK(g_watcher, "emulation", Value, "expected the library that counts traffic - build it ",
             "with -DRANVIER_EMULATION_TRAFFIC=ON and set RANVIER_EMULATE=traffic");
    g_watcher->write_to(value);
  } else {
    fail("emulation", ErrorKind::Value,
         "expected the option order, copies, tf32, fail or traffic, got '", name, "'");
  }
}

}  // namespace ranvier::backend
