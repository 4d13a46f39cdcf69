// The library's one exported function, and the codes that errors become on their way out.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/device_abi.h"
#include "cuda/core/registry.h"
#include "cuda/core/unproven.h"

namespace ranvier {
namespace {

thread_local std::string t_error;

int code_of(ErrorKind kind) {
  return kind == ErrorKind::Memory  ? kDeviceMemory
         : kind == ErrorKind::Index ? kDeviceIndex
         : kind == ErrorKind::Value ? kDeviceValue
                                    : kDeviceRuntime;
}

std::atomic<int> g_process{0};
std::atomic<void (*)(int)> g_give_back{nullptr};

template <class F>
int guarded(const F& f) {
  try {
    backend::check_process();
    f();
    return kDeviceOk;
  } catch (const Error& e) {
    t_error = e.what();
    // "[op] text": the core writes the op itself, but for what an earlier kernel met
    if (e.kind() != ErrorKind::Index && e.kind() != ErrorKind::Value && t_error.size() > 2 &&
        t_error[0] == '[') {
      const size_t end = t_error.find("] ");
      if (end != std::string::npos) t_error.erase(0, end + 2);
    }
    return code_of(e.kind());
  } catch (const std::exception& e) {
    t_error = e.what();
    return kDeviceRuntime;
  }
}

}  // namespace

Registered* Registered::first = nullptr;

Registered::Registered(const char* name, int64_t bytes, int arrays, int spans, Fn fn)
    : name(name), bytes(bytes), arrays(arrays), spans(spans), fn(fn), next(first) {
  first = this;
}

static bool g_allowed[std::size(kUnproven)] = {};
bool allowed(Unproven path) { return g_allowed[static_cast<int>(path)]; }

// Allows the paths of a list such as "hopper,tf32x3", and no others.
static void allow(const std::string& list) {
  bool found[std::size(kUnproven)] = {};
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    const std::string name = list.substr(at, end - at);
    size_t i = 0;
    while (i < std::size(kUnproven) && name != kUnproven[i]) ++i;
    RV_CHECK(i < std::size(kUnproven), "cuda", Value,
             "expected the name of an unproven path, got '", name, "'");
    found[i] = true;
    at = end + 1;
  }
  std::copy(std::begin(found), std::end(found), g_allowed);
}

int run_registered(const Registered& kernel, const void* args) {
  return guarded([&] {
    auto* refs = static_cast<const ArrayRef*>(args);
    int device = 0;
    bool known = false;
    for (int i = 0; i < kernel.arrays && !known; ++i)
      if (refs[i].storage) device = refs[i].device_index, known = true;
    auto* spans = reinterpret_cast<const Span*>(refs + kernel.arrays);
    for (int i = 0; i < kernel.spans && !known; ++i)
      if (spans[i].count) device = spans[i].items[0].device_index, known = true;
    const Context context{kernel.name, backend::place(device)};
    kernel.fn(args, context);
    backend::finish(context.place);
  });
}

namespace backend {
void check_process() {
  const int here = static_cast<int>(getpid());
  int first = 0;
  if (g_process.compare_exchange_strong(first, here) || first == here) return;
  fail("cuda", ErrorKind::Runtime,
       "expected the process that used the GPU first, got a child of it - start workers with the "
       "method 'spawn', or use the GPU in the workers only");
}

void relieve(int device) {
  if (auto give_back = g_give_back.load()) give_back(device);
}

void raise_index_error() {
  IndexFlag& flag = *index_flag();
  if (!flag.raised) return;
  const IndexFlag seen = flag;
  flag.raised = 0;
  if (seen.axis == kWrongWeight)
    fail(seen.op, ErrorKind::Value, "expected weights from 0 up, got ", seen.number, " in row ",
         seen.position);
  if (seen.axis == kFewWeights)
    fail(seen.op, ErrorKind::Value, "expected at least ", seen.low, " weights above 0, got ",
         seen.value, " in row ", seen.position);
  if (seen.axis == kWrongClass)
    fail(seen.op, ErrorKind::Index, "expected classes from ", seen.low, " to ", seen.high - 1,
         ", got ", seen.value, " at position ", seen.position,
         " - labels count from 0, one class per output");
  fail(seen.op, ErrorKind::Index, "expected indices from ", seen.low, " to ", seen.high - 1,
       " on axis ", seen.axis, ", got ", seen.value, " (index number ", seen.position,
       " in row-major order)");
}
}  // namespace backend

namespace {

const DeviceLibrary* library() {
  static std::vector<DeviceKernel> kernels;
  static DeviceLibrary l = [] {
    for (Registered* r = Registered::first; r; r = r->next)
      kernels.push_back({r->name, r->bytes, r->run});
    DeviceLibrary d{};
    d.abi = kDeviceAbi;
    d.kernel_count = static_cast<int32_t>(kernels.size());
    d.kernels = kernels.data();
    d.flavor = backend::kFlavor;
    d.built = backend::kBuilt;
    d.exact = backend::kExact;
    d.devices = [](int* count) { return guarded([&] { *count = backend::devices(); }); };
    d.describe = [](int device, char* text, int64_t room) {
      return guarded([&] {
        snprintf(text, static_cast<size_t>(room), "%s", backend::describe(device).c_str());
      });
    };
    d.allocate = [](int device, int64_t bytes, void** data) {
      return guarded([&] { *data = backend::allocate(device, bytes); });
    };
    d.release = [](int device, void* data) {
      return guarded([&] { backend::release(device, data); });
    };
    d.copy = [](int device, void* to, const void* from, int64_t bytes) {
      return guarded([&] { backend::copy(backend::place(device), to, from, bytes); });
    };
    d.synchronize = [](int device) {
      return guarded([&] { backend::synchronize(backend::place(device)); });
    };
    d.graph_begin = [](int device) { return guarded([&] { backend::graph_begin(device); }); };
    d.graph_end = [](int device, void** graph) {
      return guarded([&] {
        void* made = backend::graph_end(device, graph != nullptr);
        if (graph) *graph = made;
      });
    };
    d.graph_launch = [](int device, void* graph) {
      return guarded([&] { backend::graph_launch(backend::place(device), graph); });
    };
    d.graph_release = [](int device, void* graph) {
      return guarded([&] { backend::graph_release(backend::place(device), graph); });
    };
    d.stamp = [](int device, int64_t index) {
      return guarded([&] { backend::stamp(backend::place(device), index); });
    };
    d.elapsed = [](int device, int64_t from, int64_t to, int64_t* nanoseconds) {
      return guarded([&] { *nanoseconds = backend::elapsed(backend::place(device), from, to); });
    };
    d.on_pressure = [](void (*give_back)(int)) { g_give_back.store(give_back); };
    d.option = [](const char* name, const char* value) {
      return guarded(
          [&] { strcmp(name, "unproven") == 0 ? allow(value) : backend::option(name, value); });
    };
    d.error = []() -> const char* { return t_error.c_str(); };
    return d;
  }();
  return &l;
}

}  // namespace
}  // namespace ranvier

extern "C" __attribute__((visibility("default"))) const ranvier::DeviceLibrary*
ranvier_device_library(int32_t abi) {
  return abi == ranvier::kDeviceAbi ? ranvier::library() : nullptr;
}
