#include "core/kernel.h"

#include "core/array.h"
#include "core/check.h"
#include "core/device.h"
#include "core/program.h"

namespace ranvier {
namespace {

KernelBase* g_first = nullptr;
int g_count = 0;

const ArrayRef* any_array(const KernelBase& k, const void* args) {
  auto* refs = static_cast<const ArrayRef*>(args);
  for (int i = 0; i < k.arrays; ++i)
    if (refs[i].storage) return &refs[i];
  auto* spans = reinterpret_cast<const Span*>(refs + k.arrays);
  for (int i = 0; i < k.spans; ++i)
    if (spans[i].count) return spans[i].items;
  return nullptr;
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

}  // namespace

KernelBase::KernelBase(const char* name, int arrays, int spans, int bytes,
                       const HostFn (&fns)[kLevels])
    : name(name), id(g_count++), arrays(arrays), spans(spans), bytes(bytes), next(g_first) {
  for (int i = 0; i < kLevels; ++i) cpu[i] = fns[i];
  g_first = this;
}

KernelBase* KernelBase::first() { return g_first; }

void KernelBase::call(const void* args) const {
  if (Recorder* r = Recorder::current()) r->record(*this, args);
  run_kernel(*this, args);
}

void run_kernel(const KernelBase& k, const void* args) {
  const ArrayRef* a = any_array(k, args);
  if (!a) return;
  switch (a->device) {
    case DeviceKind::Meta:
      return;
    case DeviceKind::Cpu:
      k.cpu[static_cast<int>(level())](args);
      return;
    case DeviceKind::Cuda: {
      RV_CHECK(k.cuda, k.name, Runtime, "this build has no CUDA kernel");
      int code = k.cuda(args, nullptr);
      if (code != kDeviceOk) check_device(code, k.name, describe(k, args));
    }
  }
}

}  // namespace ranvier
