#include "core/undo.h"

#include <algorithm>
#include <cstring>

#include "core/device.h"
#include "core/threads.h"

namespace ranvier {
namespace {

constexpr int64_t kSmall = int64_t{64} << 10;  // below, a block of its own size is soon found
constexpr int64_t kShare = int64_t{1} << 20;   // what one thread copies at a time

void copy_host(char* to, const char* from, int64_t bytes) {
  parallel_for((bytes + kShare - 1) / kShare, [&](int64_t i) {
    const int64_t start = i * kShare;
    std::memcpy(to + start, from + start, static_cast<size_t>(std::min(kShare, bytes - start)));
  });
}

}  // namespace

void bytes_to_host(const Storage& s, int64_t at, void* to, int64_t bytes) {
  if (bytes <= 0) return;
  const char* from = static_cast<const char*>(s.data) + at;
  if (s.device.kind == DeviceKind::Cuda)
    copy_bytes(to, Device{}, from, s.device, bytes);
  else
    copy_host(static_cast<char*>(to), from, bytes);
}

void bytes_from_host(Storage& s, int64_t at, const void* from, int64_t bytes) {
  if (bytes <= 0) return;
  char* to = static_cast<char*>(s.data) + at;
  if (s.device.kind == DeviceKind::Cuda)
    copy_bytes(to, s.device, from, Device{}, bytes);
  else
    copy_host(to, static_cast<const char*>(from), bytes);
}

// Parameters change at the end of a step, when its temporaries lie idle in the cache: the copies go
// there, in pieces if need be. Fresh pages would cost more than the copying.
char* UndoLog::room(int64_t wanted, int64_t* got) {
  if (wanted < kSmall || left_ == 0) {
    StoragePtr block = wanted < kSmall ? StoragePtr() : take_largest_idle(kSmall);
    const bool own = !block;
    if (own) block = allocate(wanted, Device{});
    blocks_.push_back(block);
    auto* data = static_cast<char*>(block->data);
    if (own) {
      *got = wanted;
      return data;
    }
    next_ = data;
    left_ = block->bytes;
  }
  *got = std::min(wanted, left_);
  char* at = next_;
  next_ += *got;
  left_ -= *got;
  return at;
}

void UndoLog::keep(const StoragePtr& s) {
  for (int64_t at = 0; at < s->bytes;) {
    int64_t got = 0;
    char* copy = room(s->bytes - at, &got);
    bytes_to_host(*s.get(), at, copy, got);
    pieces_.push_back({s, at, copy, got});
    at += got;
  }
}

void UndoLog::undo() {
  for (Piece& p : pieces_) {
    bytes_from_host(*p.of.get(), p.at, p.copy, p.bytes);
    bump_version(p.of.get());
  }
  forget();
}

void UndoLog::forget() {
  pieces_.clear();
  blocks_.clear();
  next_ = nullptr;
  left_ = 0;
}

}  // namespace ranvier
