// Where a program's temporaries lie: one arena of each device, in which two of them share a place
// when one is last used before the other is first written, and a pointwise result takes the place
// of an operand. Work of a device runs in the order of its calls, so one order does for all.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "core/device.h"
#include "core/program.h"

namespace ranvier {
namespace {

struct Life {
  int first, last;  // calls
  int64_t bytes, offset;
  Device device;
  std::vector<Storage*> tenants;
};

Storage* storage_of(const ArrayRef& r) { return static_cast<Storage*>(r.storage); }

bool same_place(const ArrayRef& a, const ArrayRef& b) {
  if (a.dtype != b.dtype || a.ndim != b.ndim || a.offset != b.offset) return false;
  for (int i = 0; i < a.ndim; ++i)
    if (a.shape[i] != b.shape[i] || (a.strides[i] != b.strides[i] && a.shape[i] > 1)) return false;
  return true;
}

}  // namespace

bool Program::owns(const Storage* s) {
  return s->refs.load() == 1 && !s->release && s->device.kind != DeviceKind::Meta;
}

void Program::plan() {
  struct Use {
    const Call* call;
    int index;  // of the call in the program; a chain's members share theirs
  };
  std::vector<Use> uses;
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].chain)
      for (const Call& m : calls_[i].chain->members) uses.push_back({&m, static_cast<int>(i)});
    else
      uses.push_back({&calls_[i], static_cast<int>(i)});
  }
  planned_bytes_ = arena_bytes_ = 0;
  std::vector<Life> lives;
  struct Buffer {
    int life = -1;
    int first = 0, last = 0;  // positions in `uses`
    int refs_at_last = 0;
  };
  std::unordered_map<Storage*, Buffer> buffers;
  for (size_t p = 0; p < uses.size(); ++p) {
    for_each_ref(*uses[p].call, [&](const ArrayRef& ref) {
      Storage* s = storage_of(ref);
      auto [it, fresh] = buffers.try_emplace(s);
      Buffer& b = it->second;
      // Ours alone, and first written, not read: a constant that the host wrote while recording
      // must stay where it is. A buffer that is read by the call that first writes it is judged by
      // its first reference: inputs come first.
      if (fresh) b.first = static_cast<int>(p);
      if (fresh && owns(s) && ref.access == Access::Out) {
        b.life = static_cast<int>(lives.size());
        const int64_t unit = s->device.kind == DeviceKind::Cuda ? 256 : 64;
        const int64_t bytes = (std::max<int64_t>(s->bytes, 1) + unit - 1) / unit * unit;
        lives.push_back({uses[p].index, uses[p].index, bytes, 0, s->device, {s}});
        planned_bytes_ += bytes;
      }
      b.refs_at_last = b.last == static_cast<int>(p) ? b.refs_at_last + 1 : 1;
      b.last = static_cast<int>(p);
      if (b.life >= 0) lives[b.life].last = uses[p].index;
    });
  }
  // A pointwise output moves in with an input that dies there, if it is laid out the same.
  for (size_t p = 0; p < uses.size(); ++p) {
    const Call& c = *uses[p].call;
    if (!c.kernel->pointwise) continue;
    auto* refs = static_cast<const ArrayRef*>(c.args);
    const ArrayRef* out = nullptr;
    for (int i = 0; i < c.kernel->arrays; ++i)
      if (refs[i].access == Access::Out) out = &refs[i];
    if (!out || !out->storage) continue;
    Buffer& to = buffers[storage_of(*out)];
    if (to.life < 0 || to.first != static_cast<int>(p)) continue;
    for (int i = 0; i < c.kernel->arrays; ++i) {
      if (refs[i].access != Access::In || !refs[i].storage || !same_place(refs[i], *out)) continue;
      Buffer& from = buffers[storage_of(refs[i])];
      if (from.life < 0 || from.life == to.life || from.last != static_cast<int>(p) ||
          from.refs_at_last != 1 || lives[from.life].bytes != lives[to.life].bytes)
        continue;
      Life &house = lives[from.life], &guest = lives[to.life];
      house.last = std::max(house.last, guest.last);
      house.tenants.push_back(storage_of(*out));
      guest.tenants.clear();
      to.life = from.life;
      break;
    }
  }
  // Largest first, each at the lowest offset that is free during its life.
  std::vector<Life*> order;
  for (Life& l : lives)
    if (!l.tenants.empty()) order.push_back(&l);
  std::stable_sort(order.begin(), order.end(),
                   [](const Life* a, const Life* b) { return a->bytes > b->bytes; });
  std::vector<Life*> placed;
  std::vector<std::pair<Device, int64_t>> sizes;
  for (Life* l : order) {
    std::vector<Life*> rivals;
    for (Life* p : placed)
      if (p->device == l->device && p->first <= l->last && l->first <= p->last) rivals.push_back(p);
    std::sort(rivals.begin(), rivals.end(),
              [](const Life* a, const Life* b) { return a->offset < b->offset; });
    int64_t offset = 0;
    for (Life* r : rivals) {
      if (offset + l->bytes <= r->offset) break;
      offset = std::max(offset, r->offset + r->bytes);
    }
    l->offset = offset;
    placed.push_back(l);
    auto size = std::find_if(sizes.begin(), sizes.end(),
                             [&](const auto& e) { return e.first == l->device; });
    if (size == sizes.end()) size = sizes.insert(size, {l->device, 0});
    size->second = std::max(size->second, offset + l->bytes);
  }
  std::vector<StoragePtr> arenas;
  for (const auto& [device, bytes] : sizes) {
    empty_cache_of(device);  // blocks of the eager steps: the arena takes their place
    arenas.push_back(allocate(bytes, device));
    arena_bytes_ += bytes;
  }
  for (const StoragePtr& arena : arenas)
    for (Life* l : order)
      if (l->device == arena->device)
        for (Storage* s : l->tenants) move_storage(s, static_cast<char*>(arena->data) + l->offset);
  arenas_ = std::move(arenas);
}

}  // namespace ranvier
