#include "core/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "core/device.h"
#include "core/threads.h"

namespace ranvier {
namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kHuge = int64_t{2} << 20;  // from here on, ask for 2 MB pages
constexpr size_t kPage = size_t{1} << 16;    // a multiple of every system's small ones

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

// Memory is watched for accesses beyond its end and after its release where the device's library
// can, and on the host by the address sanitizer: then blocks have the exact size and are not kept.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kWatched = true;
#else
constexpr bool kWatched = false;
#endif

// Large blocks are pages of their own, so that what is released is the system's again. The C
// library would cut them from a heap of which only the end can shrink: after the eager steps before
// a captured one, DCGAN's kept 70 MB that nobody used.
#ifdef MADV_HUGEPAGE
constexpr bool kPages = !kWatched;
#else
constexpr bool kPages = false;
#endif
bool own_pages(int64_t bytes) { return kPages && bytes >= kHuge; }

size_t whole_pages(int64_t bytes) {
  return (static_cast<size_t>(bytes) + kPage - 1) / kPage * kPage;
}

void* system_allocate(int64_t bytes) {
#ifdef MADV_HUGEPAGE
  if (own_pages(bytes)) {
    const size_t most = whole_pages(bytes) + kHuge;  // so that some multiple of 2 MB lies in it
    void* all = mmap(nullptr, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return nullptr;
    auto* start = static_cast<char*>(all);
    const size_t before = (kHuge - reinterpret_cast<uintptr_t>(start) % kHuge) % kHuge;
    const size_t used = whole_pages(bytes);
    if (before) munmap(start, before);
    munmap(start + before + used, most - before - used);
    madvise(start + before, used, MADV_HUGEPAGE);
    return start + before;
  }
#endif
  void* p = nullptr;
  return posix_memalign(&p, kAlign, static_cast<size_t>(bytes)) == 0 ? p : nullptr;
}

void system_release(void* p, int64_t bytes) {
  if (own_pages(bytes))
    munmap(p, whole_pages(bytes));
  else
    std::free(p);
}

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

void device_release(void* p, int64_t bytes, Device device) {
  if (device.kind == DeviceKind::Cuda)
    device_library("allocate").release(device.index, p);
  else
    system_release(p, bytes);
}

// Takes a storage's own block out of use.
void put_back(Cache& c, Storage* s) {
  int64_t rounded = s->bytes;
  if (keeps(s->device)) {
    int k = size_class(s->bytes, &rounded);
    c.blocks[k].push_back(s->data);
    c.cached += rounded;
  } else {
    device_release(s->data, rounded, s->device);
  }
  c.in_use -= rounded;
}

void trim(Cache& c, Device device = {}) {
  for (int k = 0; k < kClasses; ++k) {
    for (void* p : c.blocks[k]) device_release(p, class_bytes(k), device);
    c.blocks[k].clear();
  }
  c.cached = 0;
}

// The storage of a block that is taken into use, or of none. The cache is locked.
StoragePtr fresh(Cache& c, void* block, int64_t bytes, Device device) {
  Storage* s = nullptr;
  if (c.headers.empty()) {
    s = new Storage;
  } else {
    s = c.headers.back();
    c.headers.pop_back();
  }
  s->data = block;
  s->bytes = bytes;
  s->refs.store(1, std::memory_order_relaxed);
  s->device = device;
  s->id = g_next_id.fetch_add(1, std::memory_order_relaxed);
  s->version = 0;
  s->release = nullptr;
  s->owner = nullptr;
  s->exposed = false;
  return StoragePtr(s);
}

// What a block of at least `bytes` takes, and where the cache keeps such.
int block_class(int64_t bytes, Device device, int64_t* rounded) {
  RV_CHECK(bytes < kMaxBytes, "allocate", Memory, "expected at most 2^47 bytes, got ", bytes);
  const int k = size_class(bytes, rounded);
  if (!keeps(device)) *rounded = bytes;
  return k;
}

// An idle block, or null: then `new_block` makes one. It is counted as in use. The cache is locked.
void* idle_block(Cache& c, int k, int64_t rounded) {
  void* block = nullptr;
  if (!c.blocks[k].empty()) {
    block = c.blocks[k].back();
    c.blocks[k].pop_back();
    c.cached -= rounded;
  }
  c.in_use += rounded;
  if (c.in_use > c.peak) c.peak = c.in_use;
  return block;
}

void* new_block(Cache& c, int64_t bytes, int64_t rounded, Device device) {
  int code;
  void* block = device_allocate(rounded, device, &code);
  if (!block) {  // give the cache back to the system and try once more
    std::lock_guard guard(c.lock);
    trim(c, device);
    if (code == kDeviceMemory) block = device_allocate(rounded, device, &code);
    if (!block) c.in_use -= rounded;
  }
  if (!block && code != kDeviceMemory) check_device(code, "allocate");
  RV_CHECK(block, "allocate", Memory, "expected ", bytes, " bytes of memory on ", device.name(),
           ", which has none left", device.kind == DeviceKind::Cuda ? ": " : "",
           device.kind == DeviceKind::Cuda ? device_library("allocate").error() : "",
           " - use a smaller batch or model");
  return block;
}

thread_local int t_reserving = 0;

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
  Cache& c = cache(device);
  if (t_reserving || device.kind == DeviceKind::Meta) {
    std::lock_guard guard(c.lock);
    return fresh(c, nullptr, bytes, device);
  }
  int64_t rounded = 0;
  const int k = block_class(bytes, device, &rounded);
  StoragePtr s;
  void* block;
  {
    std::lock_guard guard(c.lock);
    s = fresh(c, nullptr, bytes, device);
    block = idle_block(c, k, rounded);
  }
  s->data = block ? block : new_block(c, bytes, rounded, device);
  return s;
}

void furnish(Storage* s) {
  if (s->data || s->release || s->device.kind == DeviceKind::Meta) return;
  Cache& c = cache(s->device);
  int64_t rounded = 0;
  const int k = block_class(s->bytes, s->device, &rounded);
  void* block;
  {
    std::lock_guard guard(c.lock);
    block = idle_block(c, k, rounded);
  }
  s->data = block ? block : new_block(c, s->bytes, rounded, s->device);
}

Reserving::Reserving() { ++t_reserving; }
Reserving::~Reserving() { --t_reserving; }

std::vector<StoragePtr> take_idle(int64_t bytes, Device device) {
  std::vector<StoragePtr> found;
  Cache& c = cache(device);
  std::lock_guard guard(c.lock);
  for (int k = kClasses - 1; k >= 0 && class_bytes(k) >= bytes; --k) {
    for (void* block : c.blocks[k]) {
      found.push_back(fresh(c, block, class_bytes(k), device));
      c.cached -= class_bytes(k);
      c.in_use += class_bytes(k);
    }
    c.blocks[k].clear();
  }
  return found;
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

namespace {

constexpr int64_t kLeastLazy = int64_t{64} << 10;  // less is copied faster than kept in a list
constexpr int64_t kLeastShare = 4;  // of a block, as a divisor: no small part keeps a large block

std::mutex g_sharing;  // sources and lists of lazy copies

// Takes a lazy copy out of the list of its source. The lists are locked.
void leave_source(Storage* copy) {
  const StoragePtr source(std::exchange(copy->source, nullptr));
  (copy->previous ? copy->previous->next : source->copies) = copy->next;
  if (copy->next) copy->next->previous = copy->previous;
  copy->next = copy->previous = nullptr;
  if (!source->copies) source->shares.store(false, std::memory_order_release);
  copy->shares.store(false, std::memory_order_release);
}

// A block with the same bytes. The block of the storage itself is left to somebody else.
void move_away(Storage* s) {
  const StoragePtr block = allocate(s->bytes, s->device);
  furnish(block.get());
  copy_host(static_cast<char*>(block->data), static_cast<const char*>(s->data), s->bytes);
  s->data = std::exchange(block->data, nullptr);
}

// A lazy copy is to be written. The lists are locked.
void make_copy(Storage* copy) {
  Storage* const source = copy->source;
  if (source->refs.load(std::memory_order_acquire) == 1 && source->bytes == copy->bytes)
    source->data = nullptr;  // the block is the copy's from now on
  else
    move_away(copy);
  leave_source(copy);
}

// A source is to be written: it leaves its block to its lazy copies, which other threads may be
// reading, and a storage that nobody else knows holds it for them. The lists are locked.
void leave_copies(Storage* source) {
  void* const block = source->data;
  move_away(source);
  StoragePtr holder;
  {
    Cache& c = cache();
    std::lock_guard guard(c.lock);
    holder = fresh(c, block, source->bytes, source->device);
  }
  holder->copies = std::exchange(source->copies, nullptr);
  for (Storage* copy = holder->copies; copy; copy = copy->next) {
    copy->source = holder.get();
    holder->refs.fetch_add(1, std::memory_order_relaxed);
    source->refs.fetch_sub(1, std::memory_order_acq_rel);  // never the last: somebody writes it
  }
  holder->shares.store(true, std::memory_order_release);
  source->shares.store(false, std::memory_order_release);
}

void stop_sharing(Storage* s) {
  if (s->source) make_copy(s);
  if (s->copies) leave_copies(s);
}

}  // namespace

StoragePtr lazy_copy(const StoragePtr& from, int64_t offset, int64_t bytes) {
  if (bytes < kLeastLazy || t_reserving || from->device.kind != DeviceKind::Cpu) return {};
  std::lock_guard guard(g_sharing);
  Storage* const source = from->source ? from->source : from.get();
  if (source->exposed || source->release || !source->data || bytes < source->bytes / kLeastShare)
    return {};
  StoragePtr copy;
  {
    Cache& c = cache();
    std::lock_guard cache_guard(c.lock);
    copy = fresh(c, static_cast<char*>(from->data) + offset, bytes, from->device);
  }
  source->refs.fetch_add(1, std::memory_order_relaxed);
  copy->source = source;
  copy->next = source->copies;
  if (copy->next) copy->next->previous = copy.get();
  source->copies = copy.get();
  source->shares.store(true, std::memory_order_release);
  copy->shares.store(true, std::memory_order_release);
  return copy;
}

void materialize(Storage* s) {
  std::lock_guard guard(g_sharing);
  stop_sharing(s);
}

void expose(Storage* s) {
  std::lock_guard guard(g_sharing);
  stop_sharing(s);
  s->exposed = true;
}

void copy_host(char* to, const char* from, int64_t bytes) {
  constexpr int64_t kPiece = int64_t{1} << 20;  // what one thread copies at a time
  parallel_for((bytes + kPiece - 1) / kPiece, [&](int64_t i) {
    const int64_t start = i * kPiece;
    std::memcpy(to + start, from + start, static_cast<size_t>(std::min(kPiece, bytes - start)));
  });
}

void StoragePtr::destroy(Storage* s) {
  if (s->shares.load(std::memory_order_acquire)) {
    std::lock_guard guard(g_sharing);
    if (s->source) {  // else another thread gave it memory of its own meanwhile
      s->data = nullptr;
      leave_source(s);
    }
  }
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

namespace {
void stay(Storage*) {}  // releases nothing: the place is somebody else's
}  // namespace

void move_storage(Storage* s, void* data) {
  if (s->data && !s->release) {
    Cache& c = cache(s->device);
    std::lock_guard guard(c.lock);
    put_back(c, s);
  }
  s->data = data;
  s->release = stay;
}

void leave_place(Storage* s) {
  if (s->release != stay) return;
  s->data = nullptr;
  s->release = nullptr;
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
  ~Scratch() { clear(); }

  void clear() {
    if (data) system_release(data, bytes);
    data = nullptr;
    bytes = 0;
  }

  void* grow(int64_t least) {
    if (least > bytes || kWatched) {
      clear();
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
