#include "core/kernel.h"

#include <atomic>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "core/array.h"
#include "core/check.h"
#include "core/device.h"
#include "core/program.h"
#include "core/threads.h"

namespace ranvier {
namespace {

// Whether a kernel has shared its work among threads, by its number. Tests ask: a check that the
// number of threads does not matter says nothing about one that was never split.
std::deque<std::atomic<bool>>& shared() {
  static auto* flags = new std::deque<std::atomic<bool>>;
  return *flags;
}

KernelBase* g_first = nullptr;
int g_count = 0;

template <class F>
void each_array(const KernelBase& k, const void* args, const F& f) {
  auto* refs = static_cast<const ArrayRef*>(args);
  for (int i = 0; i < k.arrays; ++i)
    if (refs[i].storage) f(refs[i]);
  auto* spans = reinterpret_cast<const Span*>(refs + k.arrays);
  for (int i = 0; i < k.spans; ++i)
    for (int64_t j = 0; j < spans[i].count; ++j)
      if (spans[i].items[j].storage) f(spans[i].items[j]);
}

// "in float32(2, 3), out float32(2, 3)": what a kernel that failed was given.
std::string describe(const KernelBase& k, const void* args) {
  std::string s;
  auto* refs = static_cast<const ArrayRef*>(args);
  constexpr const char* marks[] = {"in ", "out ", "inout "};
  for (int i = 0; i < k.arrays; ++i) {
    if (!refs[i].storage) continue;
    Dims shape;
    for (int a = 0; a < refs[i].ndim; ++a) shape.push_back(refs[i].shape[a]);
    s += (s.empty() ? "" : ", ") +
         text(marks[static_cast<int>(refs[i].access)], refs[i].dtype, shape);
  }
  auto* spans = reinterpret_cast<const Span*>(refs + k.arrays);
  for (int i = 0; i < k.spans; ++i) s += (s.empty() ? "" : ", ") + text("span of ", spans[i].count);
  return s;
}

// Moving bytes from one device to another is the one thing that sees both.
bool is_transfer(const KernelBase& k) { return std::strcmp(k.name, "transfer") == 0; }

}  // namespace

KernelBase::KernelBase(const char* name, int arrays, int spans, int bytes,
                       const HostFn (&fns)[kLevels])
    : name(name), id(g_count++), arrays(arrays), spans(spans), bytes(bytes), next(g_first) {
  for (int i = 0; i < kLevels; ++i) cpu[i] = fns[i];
  shared().emplace_back(false);
  g_first = this;
}

KernelBase* KernelBase::first() { return g_first; }

namespace {

// One of the arrays, to tell the device by; nullptr for none. Raises where a kernel cannot run.
// From here on every array has memory, and what the kernel writes is shared with nobody.
const ArrayRef* check_place(const KernelBase& k, const void* args) {
  const ArrayRef* a = nullptr;
  const ArrayRef* other = nullptr;  // elsewhere: nobody could read both
  each_array(k, args, [&](const ArrayRef& r) {
    auto* s = static_cast<Storage*>(r.storage);
    if (__builtin_expect(s->shares.load(std::memory_order_acquire), 0) && r.access != Access::In)
      materialize(s);
    if (__builtin_expect(!s->data, 0) && !Recorder::current()) furnish(s);
    if (!a)
      a = &r;
    else if (r.device != a->device || r.device_index != a->device_index)
      other = &r;
  });
  if (__builtin_expect(other != nullptr, 0) && !is_transfer(k)) {
    const Device here{a->device, a->device_index}, there{other->device, other->device_index};
    fail(k.name, ErrorKind::Type, "expected tensors on one device, got ", to_string(here), " and ",
         to_string(there), " - move one with .to(device)");
  }
  if (a && a->device == DeviceKind::Cuda)
    RV_CHECK(k.cuda, k.name, Runtime, "this build has no CUDA kernel");
  return a;
}

}  // namespace

// A step that is recorded runs when all of it is known, and not at all if that cannot be.
void KernelBase::call(const void* args) const {
  if (Recorder* r = Recorder::current()) {
    check_place(*this, args);
    r->record(*this, args);
  } else {
    run_kernel(*this, args);
  }
}

void run_kernel(const KernelBase& k, const void* args) {
  const ArrayRef* a = check_place(k, args);
  if (!a) return;
  switch (a->device) {
    case DeviceKind::Meta:
      return;
    case DeviceKind::Cpu: {
      const int64_t before = shared_jobs();
      k.cpu[static_cast<int>(level())](args);
      if (shared_jobs() != before) shared()[k.id].store(true, std::memory_order_relaxed);
      return;
    }
    case DeviceKind::Cuda: {
      int code = k.cuda(args, nullptr);
      if (code != kDeviceOk) check_device(code, k.name, describe(k, args));
    }
  }
}

std::vector<std::string> shared_kernels() {
  std::vector<std::string> names;
  for (KernelBase* k = g_first; k; k = k->next)
    if (shared()[k->id].load(std::memory_order_relaxed)) names.emplace_back(k->name);
  return names;
}

}  // namespace ranvier
