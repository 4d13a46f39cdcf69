#include "core/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/array.h"
#include "core/check.h"
#include "core/device.h"

namespace ranvier {
namespace {
// The bytes of a buffer on the host, and back, from any device.
std::vector<char> contents(const Storage& s) {
  std::vector<char> bytes(static_cast<size_t>(s.bytes));
  if (s.device.kind == DeviceKind::Cuda && s.bytes > 0)
    copy_bytes(bytes.data(), Device{}, s.data, s.device, s.bytes);
  else if (s.bytes > 0)
    std::memcpy(bytes.data(), s.data, bytes.size());
  return bytes;
}
void put_back(Storage& s, const std::vector<char>& bytes) {
  if (s.device.kind == DeviceKind::Cuda && s.bytes > 0)
    copy_bytes(s.data, s.device, bytes.data(), Device{}, s.bytes);
  else if (s.bytes > 0)
    std::memcpy(s.data, bytes.data(), bytes.size());
  bump_version(&s);
}

thread_local Recorder* t_recorder = nullptr;

std::string describe(const ArrayRef& r) {
  Dims shape;
  for (int i = 0; i < r.ndim; ++i) shape.push_back(r.shape[i]);
  constexpr const char* marks[] = {"in", "out", "inout"};
  return text(marks[static_cast<int>(r.access)], ' ', r.dtype, to_string(shape), " #",
              static_cast<Storage*>(r.storage)->id);
}
}  // namespace

template <class F>
void Program::for_each_ref(const Call& c, const F& f) {
  auto* refs = static_cast<const ArrayRef*>(c.args);
  for (int i = 0; i < c.kernel->arrays; ++i)
    if (refs[i].storage) f(refs[i]);
  auto* spans = reinterpret_cast<const Span*>(refs + c.kernel->arrays);
  for (int i = 0; i < c.kernel->spans; ++i)
    for (int64_t j = 0; j < spans[i].count; ++j)
      if (spans[i].items[j].storage) f(spans[i].items[j]);
}

void Program::replay() {
  plan();
  for (const Call& c : calls_) run_kernel(*c.kernel, c.args);
  for (const StoragePtr& s : changed_) bump_version(s.get());
}

std::vector<int64_t> Program::profile(int repeats) {
  plan();
  std::vector<int64_t> best(calls_.size(), INT64_MAX);
  for (int r = 0; r < repeats; ++r) {
    for (size_t i = 0; i < calls_.size(); ++i) {
      auto start = std::chrono::steady_clock::now();
      run_kernel(*calls_[i].kernel, calls_[i].args);
      auto taken = std::chrono::steady_clock::now() - start;
      best[i] = std::min<int64_t>(
          best[i], std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count());
    }
    for (const StoragePtr& s : changed_) bump_version(s.get());
  }
  return best;
}

void Program::plan() {
  if (planned_) return;
  planned_ = true;
  struct Life {
    Storage* storage;
    int first, last;  // calls
    int64_t bytes, offset;
  };
  std::vector<Life> lives;
  std::unordered_map<Storage*, int> at;
  for (size_t i = 0; i < calls_.size(); ++i) {
    for_each_ref(calls_[i], [&](const ArrayRef& ref) {
      auto* s = static_cast<Storage*>(ref.storage);
      auto [it, fresh] = at.try_emplace(s, -1);
      if (fresh) {
        // Ours alone (one reference, the program's), on the host, and first written, not read: a
        // constant that the host wrote while recording must stay where it is.
        bool ours = s->refs.load() == 1 && !s->release && s->device.kind == DeviceKind::Cpu;
        if (ours && ref.access == Access::Out) {
          it->second = static_cast<int>(lives.size());
          lives.push_back({s, static_cast<int>(i), static_cast<int>(i),
                           (std::max<int64_t>(s->bytes, 1) + 63) / 64 * 64, 0});
        }
      } else if (it->second >= 0) {
        lives[static_cast<size_t>(it->second)].last = static_cast<int>(i);
      }
    });
    // A buffer that is read by the same call that first writes another part of it is not a pure
    // output: for_each_ref meets the inputs first, so it was judged by its first reference.
  }
  // Largest first, each at the lowest offset that is free during its life.
  std::vector<Life*> order;
  for (Life& l : lives) order.push_back(&l);
  std::stable_sort(order.begin(), order.end(),
                   [](const Life* a, const Life* b) { return a->bytes > b->bytes; });
  std::vector<Life*> placed;
  for (Life* l : order) {
    std::vector<Life*> rivals;
    for (Life* p : placed)
      if (p->first <= l->last && l->first <= p->last) rivals.push_back(p);
    std::sort(rivals.begin(), rivals.end(),
              [](const Life* a, const Life* b) { return a->offset < b->offset; });
    int64_t offset = 0;
    for (Life* r : rivals) {
      if (offset + l->bytes <= r->offset) break;
      offset = std::max(offset, r->offset + r->bytes);
    }
    l->offset = offset;
    placed.push_back(l);
    arena_bytes_ = std::max(arena_bytes_, offset + l->bytes);
    planned_bytes_ += l->bytes;
  }
  if (lives.empty()) return;
  arena_ = allocate(arena_bytes_, Device{});
  for (Life& l : lives) move_storage(l.storage, static_cast<char*>(arena_->data) + l.offset);
}

std::string Program::text() const {
  std::string s;
  for (const Call& c : calls_) {
    s += c.kernel->name;
    auto* refs = static_cast<const ArrayRef*>(c.args);
    for (int i = 0; i < c.kernel->arrays; ++i)
      if (refs[i].storage) s += "  " + describe(refs[i]);
    auto* spans = reinterpret_cast<const Span*>(refs + c.kernel->arrays);
    for (int i = 0; i < c.kernel->spans; ++i) s += ranvier::text("  span of ", spans[i].count);
    s += '\n';
  }
  return s;
}

int64_t Program::buffer_bytes() const {
  int64_t n = 0;
  for (const StoragePtr& s : storages_) n += s->bytes;
  return n;
}

std::vector<std::vector<char>> Program::snapshot() const {
  std::vector<std::vector<char>> saved;
  for (const StoragePtr& s : changed_) saved.push_back(contents(*s.get()));
  return saved;
}

void Program::restore(const std::vector<std::vector<char>>& saved) const {
  RV_CHECK(saved.size() == changed_.size(), "capture", Value, "expected a snapshot of ",
           changed_.size(), " buffers, got ", saved.size());
  for (size_t i = 0; i < saved.size(); ++i) put_back(*changed_[i].get(), saved[i]);
}

Recorder* Recorder::current() { return t_recorder; }

Recorder::Recorder() : program_(std::make_shared<Program>()), first_id_(next_storage_id()) {
  RV_CHECK(!t_recorder, "capture", Capture,
           "expected no other capture in this thread - captured steps cannot contain each other");
  t_recorder = this;
}

Recorder::~Recorder() {
  if (t_recorder == this) t_recorder = nullptr;
}

char* Recorder::keep(const void* data, int64_t bytes) {
  // operator new aligns to 16 bytes, enough for every argument struct
  program_->structs_.emplace_back(new char[static_cast<size_t>(bytes)]);
  char* p = program_->structs_.back().get();
  std::memcpy(p, data, static_cast<size_t>(bytes));
  return p;
}

void Recorder::note(const ArrayRef& ref) {
  if (!ref.storage) return;
  auto* s = static_cast<Storage*>(ref.storage);
  auto [it, fresh] = seen_.try_emplace(s, false);
  if (fresh) program_->storages_.push_back(StoragePtr::share(s));
  if (ref.access != Access::In && s->id < first_id_ && !it->second) {
    it->second = true;
    program_->changed_.push_back(StoragePtr::share(s));
    before_.emplace_back(StoragePtr::share(s), contents(*s));
  }
}

void Recorder::record(const KernelBase& k, const void* args) {
  char* copy = keep(args, k.bytes);
  auto* refs = reinterpret_cast<ArrayRef*>(copy);
  for (int i = 0; i < k.arrays; ++i) note(refs[i]);
  auto* spans = reinterpret_cast<Span*>(refs + k.arrays);
  for (int i = 0; i < k.spans; ++i) {
    for (int64_t j = 0; j < spans[i].count; ++j) note(spans[i].items[j]);
    if (spans[i].count)
      spans[i].items = reinterpret_cast<const ArrayRef*>(
          keep(spans[i].items, spans[i].count * static_cast<int64_t>(sizeof(ArrayRef))));
  }
  program_->calls_.push_back({&k, copy});
}

std::shared_ptr<Program> Recorder::finish() {
  if (t_recorder == this) t_recorder = nullptr;
  before_.clear();
  return std::move(program_);
}

void Recorder::abandon() {
  if (t_recorder == this) t_recorder = nullptr;
  for (auto& [s, bytes] : before_) put_back(*s.get(), bytes);
  before_.clear();
  program_.reset();
}

void check_host_read(const char* what) {
  if (t_recorder)
    fail("capture", ErrorKind::Capture, "expected a step that stays on the device, got ", what,
         " - return the tensor from the captured function and read it outside");
}

}  // namespace ranvier
