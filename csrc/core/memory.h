// Storage: a reference-counted block of memory, and the caching allocator behind it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

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
  std::atomic<bool> shares{false};  // it is a lazy copy, or has some; see lazy_copy()
  bool exposed = false;             // somebody outside of the library knows its address
  uint64_t id = 0;       // unique over the life of the process; tells recorders what is new
  uint64_t version = 0;  // the global mutation count at this buffer's last in-place change
  void (*release)(Storage*) = nullptr;  // set for memory that somebody else owns
  void* owner = nullptr;
  Storage* source = nullptr;                     // of a lazy copy: in whose block it lies
  Storage* copies = nullptr;                     // its first lazy copy ...
  Storage *next = nullptr, *previous = nullptr;  // ... and the list of all
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
    if (s_ && s_->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(s_);
  }
  static StoragePtr share(Storage* s) {
    s->refs.fetch_add(1, std::memory_order_relaxed);
    return StoragePtr(s);
  }
  Storage* get() const { return s_; }
  Storage* operator->() const { return s_; }
  explicit operator bool() const { return s_ != nullptr; }

 private:
  static void destroy(Storage* s);
  Storage* s_ = nullptr;
};

// A block of at least `bytes`, aligned to 64 bytes, from the cache when one fits. Not zeroed.
StoragePtr allocate(int64_t bytes, Device device);

// While one lives, what its thread allocates gets no block: a step is recorded, and where its
// results lie is decided when all of them are known.
class Reserving {
 public:
  Reserving();
  ~Reserving();
  Reserving(const Reserving&) = delete;
};

// Gives a storage its block, if it has none; a kernel that uses it does so at the latest.
void furnish(Storage* storage);

// The blocks of a device that lie idle in the cache and have at least `bytes`, largest first. Those
// that the caller keeps count for the peak from the next allocation on.
std::vector<StoragePtr> take_idle(int64_t bytes, Device device);

// A Storage over memory that somebody else owns; `release(storage)` runs when the last user goes.
StoragePtr adopt(void* data, int64_t bytes, void* owner, void (*release)(Storage*));

// Copy-on-write: a storage with the bytes of a part of another one, in whose block it lies until
// either is about to be written. Whoever is written moves away from the block, so that it never
// changes while somebody may be reading it; a lazy copy of all of it that is the last to hold it
// takes it over. Nobody can tell a lazy copy from one made at once: every kernel call sees to the
// arrays that it writes, and every address that is handed out otherwise goes through `materialize`
// as well (`Array::data`, `expose`). Null where a copy is better made at once: of little, of a
// small part of a large block, of memory that somebody outside knows or owns, of a device, while a
// step is recorded.
StoragePtr lazy_copy(const StoragePtr& source, int64_t offset, int64_t bytes);
// Before a storage that shares its block is written: gives it one of its own.
void materialize(Storage* storage);
// The same before its address leaves the library. No lazy copies are made of it from then on.
void expose(Storage* storage);

// memcpy by all threads.
void copy_host(char* to, const char* from, int64_t bytes);

// Gives a storage's own block back and lets it point to `data`, which somebody else keeps alive;
// and lets one that was moved be without a block again.
void move_storage(Storage* storage, void* data);
void leave_place(Storage* storage);

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
