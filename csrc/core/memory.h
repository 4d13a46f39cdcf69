// Storage: a reference-counted block of memory, and the caching allocator behind it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "core/args.h"

namespace ranvier {

struct Device {
  DeviceKind kind = DeviceKind::Cpu;
  uint8_t index = 0;
  bool operator==(const Device&) const = default;
  const char* name() const;
};

struct Storage : StorageRef {
  int64_t bytes = 0;
  std::atomic<int32_t> refs{1};
  Device device;
  uint64_t id = 0;       // unique over the life of the process; tells recorders what is new
  uint64_t version = 0;  // the global mutation count at this buffer's last in-place change
  void (*release)(Storage*) = nullptr;  // set for memory that somebody else owns
  void* owner = nullptr;
  // A recorded step keeps this header, not what is in the block: the block goes back to the cache
  // when nobody else holds the storage.
  bool vacate = false;
};

// Owning pointer to a Storage.
class StoragePtr {
 public:
  StoragePtr() = default;
  explicit StoragePtr(Storage* s) : s_(s) {}
  StoragePtr(const StoragePtr& o) : s_(o.s_) {
    if (s_) s_->refs.fetch_add(1, std::memory_order_relaxed);
  }
  StoragePtr(StoragePtr&& o) noexcept : s_(std::exchange(o.s_, nullptr)) {}
  StoragePtr& operator=(StoragePtr o) noexcept {
    std::swap(s_, o.s_);
    return *this;
  }
  ~StoragePtr() {
    if (!s_) return;
    const int32_t held = s_->refs.fetch_sub(1, std::memory_order_acq_rel);
    if (held == 1) destroy(s_);
    if (held == 2 && s_->vacate) give_block_back(s_);
  }
  static StoragePtr share(Storage* s) {
    s->refs.fetch_add(1, std::memory_order_relaxed);
    return StoragePtr(s);
  }
  Storage* get() const { return s_; }
  Storage* operator->() const { return s_; }
  explicit operator bool() const { return s_ != nullptr; }

  static void give_block_back(Storage* s);  // the storage stays, without a block

 private:
  static void destroy(Storage* s);
  Storage* s_ = nullptr;
};

// A block of at least `bytes`, aligned to 64 bytes, from the cache when one fits. Not zeroed.
StoragePtr allocate(int64_t bytes, Device device);

// The largest block of the host that lies idle in the cache, if it has at least `bytes`: whole, and
// empty otherwise.
StoragePtr take_largest_idle(int64_t bytes);

// A Storage over memory that somebody else owns; `release(storage)` runs when the last user goes.
StoragePtr adopt(void* data, int64_t bytes, void* owner, void (*release)(Storage*));

// Gives a storage's own block back and lets it point to `data`, which somebody else keeps alive.
void move_storage(Storage* storage, void* data);

// Counts one in-place change and stamps it on the storage; returns the new global count.
uint64_t bump_version(Storage* storage);

// How many in-place changes there were so far.
uint64_t mutations();

// Id that the next storage will get: everything below existed before.
uint64_t next_storage_id();

struct MemoryStats {
  int64_t in_use, cached, peak;
};
MemoryStats memory_stats();
void reset_peak_memory();
void empty_cache();

// A growing workspace of this thread, aligned to 64 bytes, valid until the thread's next call.
// One user at a time: a kernel takes it once and cuts it up itself.
void* scratch(int64_t bytes);
// A second one, for the packed panels of a matrix product.
void* panel_scratch(int64_t bytes);

}  // namespace ranvier
