#include "core/device.h"

#include <dlfcn.h>

#include <unordered_map>

#include "core/check.h"
#include "core/kernel.h"

namespace ranvier {
namespace {

const DeviceLibrary* g_library = nullptr;
std::string& problem() {
  static auto* text = new std::string("no device library was opened");
  return *text;
}

std::string error_text(const DeviceLibrary& library) {
  const char* e = library.error();
  return e && *e ? e : "no reason given";
}

}  // namespace

std::string to_string(Device device) {
  return device.kind == DeviceKind::Cuda ? text("cuda:", int{device.index}) : device.name();
}

void set_device_problem(std::string text) { problem() = std::move(text); }

const DeviceLibrary* device_library_or_null() { return g_library; }

const DeviceLibrary& device_library(const char* op) {
  RV_CHECK(g_library, op, Type, "expected a device that can be used here, got cuda - ", problem());
  return *g_library;
}

void open_device_library(const std::string& path) {
  if (g_library) return;
  constexpr const char* kOp = "cuda";
  // Never closed: kernels may run until the process ends.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  RV_CHECK(handle, kOp, Runtime, "expected a library that can be opened, got ", dlerror());
  auto entry = reinterpret_cast<RanvierDeviceEntry>(dlsym(handle, RV_DEVICE_ENTRY));
  const DeviceLibrary* library = entry ? entry(kDeviceAbi) : nullptr;
  RV_CHECK(library && library->abi == kDeviceAbi, kOp, Runtime,
           "expected a library of this version of ranvier, got another at ", path,
           " - build and install both together");
  int count = 0;
  RV_CHECK(library->devices(&count) == kDeviceOk && count > 0, kOp, Runtime, error_text(*library));
  std::unordered_map<std::string, KernelBase*> ours;
  for (KernelBase* k = KernelBase::first(); k; k = k->next) ours[k->name] = k;
  for (int i = 0; i < library->kernel_count; ++i) {
    const DeviceKernel& k = library->kernels[i];
    auto it = ours.find(k.name);
    RV_CHECK(it != ours.end() && it->second->bytes == k.bytes, kOp, Runtime,
             "expected a library of this version of ranvier, got one with another kernel ", k.name,
             " at ", path, " - build and install both together");
  }
  for (int i = 0; i < library->kernel_count; ++i)
    ours[library->kernels[i].name]->cuda = library->kernels[i].run;
  library->on_pressure(
      [](int device) { empty_cache_of(Device{DeviceKind::Cuda, static_cast<uint8_t>(device)}); });
  g_library = library;
}

void check_device(int code, const char* op, const std::string& what) {
  if (code == kDeviceOk) return;
  const std::string error = error_text(*g_library);
  if (code == kDeviceIndex) throw Error(ErrorKind::Index, error);
  if (code == kDeviceValue) throw Error(ErrorKind::Value, error);
  const bool memory = code == kDeviceMemory;
  fail(op, memory ? ErrorKind::Memory : ErrorKind::Runtime, error,
       memory ? " - use a smaller batch or model" : "", what.empty() ? "" : " (arrays: ", what,
       what.empty() ? "" : ")");
}

void synchronize(Device device) {
  if (device.kind != DeviceKind::Cuda) return;
  const DeviceLibrary& library = device_library("synchronize");
  check_device(library.synchronize(device.index), "synchronize");
}

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, int64_t bytes) {
  Device device = to_device.kind == DeviceKind::Cuda ? to_device : from_device;
  const DeviceLibrary& library = device_library("copy");
  check_device(library.copy(device.index, to, from, bytes), "copy", text(bytes, " bytes"));
}

Array to_host(const Array& x) {
  return x.device().kind == DeviceKind::Cuda ? to_device(x, Device{}) : x;
}

}  // namespace ranvier
