#include "core/graph.h"

#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "core/device.h"
#include "core/program.h"

namespace ranvier {
namespace {

bool wanted() {  // RANVIER_GRAPH=0 replays call by call, to find out which one fails
  const char* v = std::getenv("RANVIER_GRAPH");
  return !v || std::strcmp(v, "0") != 0;
}

}  // namespace

Device device_of(const Call& call) {
  if (call.chain || !call.kernel) return {};
  Device found;
  bool first = true, one = true;
  for_each_ref(call, [&](const ArrayRef& r) {
    const Device d{r.device, r.device_index};
    if (first) found = d;
    one = one && d == found;
    first = false;
  });
  return one && found.kind == DeviceKind::Cuda ? found : Device{};
}

Graphs::~Graphs() {
  for (const Part& p : parts_)
    if (p.graph) device_library("capture").graph_release(p.device.index, p.graph);
}

int Graphs::count() const {
  int n = 0;
  for (const Part& p : parts_) n += p.graph != nullptr;
  return n;
}

void Graphs::find(const std::vector<Call>& calls) {
  for (size_t i = 0; i < calls.size(); ++i) {
    const Device d = device_of(calls[i]);
    if (!parts_.empty() && parts_.back().device == d)
      parts_.back().last = i + 1;
    else
      parts_.push_back({i, i + 1, d});
  }
}

// The device writes the calls down instead of running them. If it cannot, or one of them refuses,
// they are run call by call from now on, and the error, if it stays one, comes from there.
void Graphs::make(Part& part, const std::vector<Call>& calls, void (*run)(const Call&)) {
  const DeviceLibrary& library = device_library("capture");
  const int device = part.device.index;
  try {
    check_device(library.graph_begin(device), "capture");
    try {
      for (size_t i = part.first; i < part.last; ++i) run(calls[i]);
    } catch (...) {
      library.graph_end(device, nullptr);
      throw;
    }
    check_device(library.graph_end(device, &part.graph), "capture");
  } catch (const Error& e) {
    part.graph = nullptr;
    text_ = e.what();
  }
}

void Graphs::replay(const std::vector<Call>& calls, void (*run)(const Call&)) {
  const bool fresh = !found_;
  if (fresh) find(calls);
  found_ = true;
  for (Part& p : parts_) {
    const bool device = p.device.kind == DeviceKind::Cuda;
    if (fresh && device && wanted()) make(p, calls, run);
    if (p.graph)
      check_device(device_library("capture").graph_launch(p.device.index, p.graph), "capture");
    else
      for (size_t i = p.first; i < p.last; ++i) run(calls[i]);
  }
}

}  // namespace ranvier
