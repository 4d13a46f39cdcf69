#include "core/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "core/device.h"

namespace ranvier {
namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kHuge = int64_t{2} << 20;  // from here on, ask for 2 MB pages

// Size classes: multiples of 64 up to 512, then eight steps per doubling, so that at most an
// eighth of a block is wasted and a freed block fits the next step's request of the same shape.
int size_class(int64_t bytes, int64_t* rounded) {
  if (bytes <= 512) {
    int64_t units = bytes <= 0 ? 1 : (bytes + kAlign - 1) / kAlign;
    *rounded = units * kAlign;
    return static_cast<int>(units - 1);
  }
  int log = 63 - std::countl_zero(static_cast<uint64_t>(bytes - 1));  // 2^log <= bytes - 1
  int64_t step = int64_t{1} << (log - 3);
  int64_t units = (bytes + step - 1) / step;  // 9..16 eighths of 2^log
  *rounded = units * step;
  return 8 + (log - 9) * 8 + static_cast<int>(units - 9);
}
int64_t class_bytes(int k) {
  if (k < 8) return (k + 1) * kAlign;
  return int64_t{9 + (k - 8) % 8} << ((k - 8) / 8 + 9 - 3);
}
constexpr int kClasses = 8 + (48 - 9) * 8;
constexpr int64_t kMaxBytes = int64_t{1} << 47;

struct Cache {
  std::mutex lock;
  std::vector<void*> blocks[kClasses];
  std::vector<Storage*> headers;
  int64_t in_use = 0, cached = 0, peak = 0;
};

// One for the host and one per device. Never destroyed: arrays held by other static objects may be
// released after us. On a device, all work goes through one stream: a block that comes back is used
// again by work that the stream runs later, so nobody has to wait.
Cache& cache(Device device = {}) {
  static Cache* caches[257] = {};
  static std::mutex lock;
  Cache*& c = caches[device.kind == DeviceKind::Cuda ? 1 + device.index : 0];
  if (!__atomic_load_n(&c, __ATOMIC_ACQUIRE)) {
    std::lock_guard guard(lock);
    if (!c) __atomic_store_n(&c, new Cache, __ATOMIC_RELEASE);
  }
  return *c;
}

std::atomic<uint64_t> g_next_id{1};
std::atomic<uint64_t> g_mutations{0};

void* system_allocate(int64_t bytes) {
  void* p = nullptr;
  size_t align = bytes >= kHuge ? kHuge : kAlign;
  if (posix_memalign(&p, align, static_cast<size_t>(bytes)) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (bytes >= kHuge) madvise(p, static_cast<size_t>(bytes), MADV_HUGEPAGE);
#endif
  return p;
}

// Memory is watched for accesses beyond its end and after its release where the device's library
// can, and on the host by the address sanitizer: then blocks have the exact size and are not kept.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kWatched = true;
#else
constexpr bool kWatched = false;
#endif

bool keeps(Device device) {
  return device.kind == DeviceKind::Cuda ? !device_library("allocate").exact : !kWatched;
}

// Null when there is no memory; `code` says so, or what else a device reports.
void* device_allocate(int64_t bytes, Device device, int* code) {
  *code = kDeviceMemory;
  if (device.kind != DeviceKind::Cuda) return system_allocate(bytes);
  void* p = nullptr;
  *code = device_library("allocate").allocate(device.index, bytes, &p);
  return *code == kDeviceOk ? p : nullptr;
}

void device_release(void* p, Device device) {
  if (device.kind == DeviceKind::Cuda)
    device_library("allocate").release(device.index, p);
  else
    std::free(p);
}

// Takes a storage's own block out of use.
void put_back(Cache& c, Storage* s) {
  int64_t rounded = s->bytes;
  if (keeps(s->device)) {
    int k = size_class(s->bytes, &rounded);
    c.blocks[k].push_back(s->data);
    c.cached += rounded;
  } else {
    device_release(s->data, s->device);
  }
  c.in_use -= rounded;
}

void trim(Cache& c, Device device = {}) {
  for (int k = 0; k < kClasses; ++k) {
    for (void* p : c.blocks[k]) device_release(p, device);
    c.blocks[k].clear();
  }
  c.cached = 0;
}

// The storage of a block that is taken into use; `s` is a header to use again, or none.
StoragePtr fresh(Storage* s, void* block, int64_t bytes, Device device) {
  if (!s) s = new Storage;
  s->data = block;
  s->bytes = bytes;
  s->refs.store(1, std::memory_order_relaxed);
  s->device = device;
  s->id = g_next_id.fetch_add(1, std::memory_order_relaxed);
  s->version = 0;
  s->release = nullptr;
  s->owner = nullptr;
  s->vacate = false;
  return StoragePtr(s);
}

}  // namespace

const char* Device::name() const {
  switch (kind) {
    case DeviceKind::Cpu:
      return "cpu";
    case DeviceKind::Cuda:
      return "cuda";
    case DeviceKind::Meta:
      return "meta";
  }
  return "?";
}

StoragePtr allocate(int64_t bytes, Device device) {
  const bool kept = keeps(device);
  Cache& c = cache(device);
  int64_t rounded = 0;
  bool meta = device.kind == DeviceKind::Meta;
  int k = -1;
  if (!meta) {
    RV_CHECK(bytes < kMaxBytes, "allocate", Memory, "expected at most 2^47 bytes, got ", bytes);
    k = size_class(bytes, &rounded);
    if (!kept) rounded = bytes;
  }
  Storage* s = nullptr;
  void* block = nullptr;
  {
    std::lock_guard guard(c.lock);
    if (!c.headers.empty()) {
      s = c.headers.back();
      c.headers.pop_back();
    }
    if (!meta) {
      if (kept && !c.blocks[k].empty()) {
        block = c.blocks[k].back();
        c.blocks[k].pop_back();
        c.cached -= rounded;
      }
      c.in_use += rounded;
      if (c.in_use > c.peak) c.peak = c.in_use;
    }
  }
  if (!meta && !block) {
    int code;
    block = device_allocate(rounded, device, &code);
    if (!block) {  // give the cache back to the system and try once more
      std::lock_guard guard(c.lock);
      trim(c, device);
      if (code == kDeviceMemory) block = device_allocate(rounded, device, &code);
      if (!block) {
        c.in_use -= rounded;
        if (s) c.headers.push_back(s);
      }
    }
    if (!block && code != kDeviceMemory) check_device(code, "allocate");
    RV_CHECK(block, "allocate", Memory, "expected ", bytes, " bytes of memory on ", device.name(),
             ", which has none left", device.kind == DeviceKind::Cuda ? ": " : "",
             device.kind == DeviceKind::Cuda ? device_library("allocate").error() : "",
             " - use a smaller batch or model");
  }
  return fresh(s, block, bytes, device);
}

StoragePtr take_largest_idle(int64_t bytes) {
  Cache& c = cache();
  std::lock_guard guard(c.lock);
  for (int k = kClasses - 1; k >= 0 && class_bytes(k) >= bytes; --k) {
    if (c.blocks[k].empty()) continue;
    void* block = c.blocks[k].back();
    c.blocks[k].pop_back();
    c.cached -= class_bytes(k);
    c.in_use += class_bytes(k);
    c.peak = std::max(c.peak, c.in_use);
    Storage* s = nullptr;
    if (!c.headers.empty()) {
      s = c.headers.back();
      c.headers.pop_back();
    }
    return fresh(s, block, class_bytes(k), Device{});
  }
  return StoragePtr();
}

StoragePtr adopt(void* data, int64_t bytes, void* owner, void (*release)(Storage*)) {
  auto* s = new Storage;
  s->data = data;
  s->bytes = bytes;
  s->id = g_next_id.fetch_add(1, std::memory_order_relaxed);
  s->release = release;
  s->owner = owner;
  return StoragePtr(s);
}

void StoragePtr::destroy(Storage* s) {
  if (s->release) {
    s->release(s);
    delete s;
    return;
  }
  Cache& c = cache(s->device);
  std::lock_guard guard(c.lock);
  if (s->data) put_back(c, s);
  c.headers.push_back(s);
}

void StoragePtr::give_block_back(Storage* s) {
  Cache& c = cache(s->device);
  std::lock_guard guard(c.lock);
  put_back(c, s);
  s->data = nullptr;
  s->vacate = false;
}

void move_storage(Storage* s, void* data) {
  s->vacate = false;
  if (s->data) StoragePtr::give_block_back(s);
  s->data = data;
  s->release = [](Storage*) {};
}

uint64_t bump_version(Storage* storage) {
  uint64_t v = g_mutations.fetch_add(1, std::memory_order_relaxed) + 1;
  storage->version = v;
  return v;
}

uint64_t mutations() { return g_mutations.load(std::memory_order_relaxed); }

uint64_t next_storage_id() { return g_next_id.load(std::memory_order_relaxed); }

MemoryStats device_memory_stats(Device device) {
  Cache& c = cache(device);
  std::lock_guard guard(c.lock);
  return {c.in_use, c.cached, c.peak};
}
MemoryStats memory_stats() { return device_memory_stats({}); }

void reset_device_peak(Device device) {
  Cache& c = cache(device);
  std::lock_guard guard(c.lock);
  c.peak = c.in_use;
}
void reset_peak_memory() { reset_device_peak({}); }

void empty_cache_of(Device device) {
  Cache& c = cache(device);
  std::lock_guard guard(c.lock);
  trim(c, device);
}

void empty_cache() {
  const int devices = device_library_or_null() ? 256 : 0;
  empty_cache_of(Device{});
  for (int i = 0; i < devices; ++i)
    empty_cache_of(Device{DeviceKind::Cuda, static_cast<uint8_t>(i)});
}

namespace {

struct Scratch {
  void* data = nullptr;
  int64_t bytes = 0;
  ~Scratch() { std::free(data); }

  void* grow(int64_t least) {
    if (least > bytes || kWatched) {
      std::free(data);
      int64_t size = kWatched ? least : 1 << 16;
      while (size < least) size *= 2;
      data = system_allocate(size);
      bytes = data ? size : 0;
      RV_CHECK(data, "scratch", Memory, "expected ", least,
               " bytes of workspace, the system has none left - use a smaller batch or model");
    }
    return data;
  }
};

}  // namespace

void* scratch(int64_t bytes) {
  thread_local Scratch block;
  return block.grow(bytes);
}

void* panel_scratch(int64_t bytes) {
  thread_local Scratch block;
  return block.grow(bytes);
}

}  // namespace ranvier
