#include "core/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/array.h"
#include "core/check.h"
#include "core/device.h"
#include "core/precision.h"
#include "core/rewrite.h"
#include "core/threads.h"

namespace ranvier {
namespace {
thread_local Recorder* t_recorder = nullptr;

std::string describe(const ArrayRef& r) {
  Dims shape;
  for (int i = 0; i < r.ndim; ++i) shape.push_back(r.shape[i]);
  constexpr const char* marks[] = {"in", "out", "inout"};
  return text(marks[static_cast<int>(r.access)], ' ', r.dtype, to_string(shape), " #",
              static_cast<Storage*>(r.storage)->id);
}

// Copies between the host and a storage of any device.
void bytes_to_host(const Storage& s, char* to) {
  if (s.device.kind == DeviceKind::Cuda)
    copy_bytes(to, Device{}, s.data, s.device, s.bytes);
  else
    copy_host(to, static_cast<const char*>(s.data), s.bytes);
}

void bytes_from_host(Storage& s, const char* from) {
  if (s.shares) materialize(&s);
  if (s.device.kind == DeviceKind::Cuda)
    copy_bytes(s.data, s.device, from, Device{}, s.bytes);
  else
    copy_host(static_cast<char*>(s.data), from, s.bytes);
}

// Bytes of the elements that an array has of its own: broadcast ones are counted once.
int64_t touched(const ArrayRef& r) {
  int64_t n = item_size(r.dtype);
  for (int i = 0; i < r.ndim; ++i)
    if (r.strides[i] != 0) n *= r.shape[i];
  return n;
}
}  // namespace

void Program::prepare() {
  if (prepared_) return;
  if (!rewritten_) rewrites_ = Rewriter(*this).run();
  rewritten_ = true;
  plan();  // if there is no memory for it, the next replay tries again
  prepared_ = true;
}

namespace {

// One tile of a chain: each member on the part of its arrays that lies in the tile.
void run_tile(const Chain& chain, int64_t tile) {
  int64_t start[kMaxDims] = {}, count[kMaxDims];
  const int split = chain.order[chain.outer];
  const int64_t pieces = (chain.shape[split] + chain.step - 1) / chain.step;
  for (int i = 0; i < chain.ndim; ++i) count[i] = chain.shape[i];
  start[split] = tile % pieces * chain.step;
  count[split] = std::min(chain.step, chain.shape[split] - start[split]);
  int64_t rest = tile / pieces;
  for (int k = chain.outer - 1; k >= 0; --k) {
    const int axis = chain.order[k];
    start[axis] = rest % chain.shape[axis];
    count[axis] = 1;
    rest /= chain.shape[axis];
  }
  for (const Call& m : chain.members) {
    alignas(16) char args[kMostPointwiseBytes];
    std::memcpy(args, m.args, static_cast<size_t>(m.kernel->bytes));
    auto* refs = reinterpret_cast<ArrayRef*>(args);
    for (int i = 0; i < m.kernel->arrays; ++i) {
      ArrayRef& r = refs[i];
      if (!r.storage) continue;
      for (int axis = 0; axis < r.ndim; ++axis) {
        const int of_chain = axis + chain.ndim - r.ndim;
        if (r.shape[axis] == 1) continue;  // broadcast
        r.offset += start[of_chain] * r.strides[axis] * item_size(r.dtype);
        r.shape[axis] = count[of_chain];
      }
    }
    run_kernel(*m.kernel, args);
  }
}

void run_call(const Call& c) {
  if (c.chain)
    parallel_for(c.chain->tiles, [&](int64_t tile) { run_tile(*c.chain, tile); });
  else
    run_kernel(*c.kernel, c.args);
}

void print(std::string& s, const Call& c, const char* indent) {
  s += indent;
  s += c.kernel->name;
  auto* refs = static_cast<const ArrayRef*>(c.args);
  for (int i = 0; i < c.kernel->arrays; ++i)
    if (refs[i].storage) s += "  " + describe(refs[i]);
  auto* spans = reinterpret_cast<const Span*>(refs + c.kernel->arrays);
  for (int i = 0; i < c.kernel->spans; ++i) s += text("  span of ", spans[i].count);
  int64_t bytes = 0;
  for_each_ref(c, [&](const ArrayRef& r) { bytes += touched(r); });
  s += text("  ", bytes, " bytes");
  if (c.kernel->flops) s += text("  ", static_cast<int64_t>(c.kernel->flops(c.args)), " flops");
  s += '\n';
}

}  // namespace

// Without rewrites: what the step returns may hold its graph, and with that temporaries that nobody
// misses any more at the first replay. The arena stays for that one, whose pages are there then.
void Program::run() {
  plan();
  poison_arenas();
  for (const Call& c : calls_) run_call(c);
  for (const StoragePtr& s : storages_) leave_place(s.get());
  planned_bytes_ = arena_bytes_ = 0;
}

void Program::replay() {
  prepare();
  poison_arenas();
  graphs_.replay(calls_, run_call);
  for (const StoragePtr& s : changed_) bump_version(s.get());
}

void Program::poison_arenas() const {
  for (const StoragePtr& arena : arenas_) {
    if (arena->device.kind != DeviceKind::Cuda || !device_library("capture").exact) continue;
    const std::vector<char> nan(static_cast<size_t>(arena->bytes), static_cast<char>(0xff));
    copy_bytes(arena->data, arena->device, nan.data(), Device{}, arena->bytes);
  }
}

std::vector<int64_t> Program::profile(int repeats) {
  prepare();
  std::vector<int64_t> best(calls_.size(), INT64_MAX);
  std::vector<Device> where;
  for (const Call& c : calls_) where.push_back(device_of(c));
  for (int r = 0; r < repeats; ++r) {
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (where[i].kind == DeviceKind::Cuda) {  // it runs behind our back: it notes the times
        const auto at = static_cast<int64_t>(2 * i);
        const DeviceLibrary& library = device_library("profile");
        check_device(library.stamp(where[i].index, at), "profile");
        run_call(calls_[i]);
        check_device(library.stamp(where[i].index, at + 1), "profile");
        continue;
      }
      auto start = std::chrono::steady_clock::now();
      run_call(calls_[i]);
      auto taken = std::chrono::steady_clock::now() - start;
      best[i] = std::min<int64_t>(
          best[i], std::chrono::duration_cast<std::chrono::nanoseconds>(taken).count());
    }
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (where[i].kind != DeviceKind::Cuda) continue;
      const auto at = static_cast<int64_t>(2 * i);
      int64_t taken = 0;
      check_device(device_library("profile").elapsed(where[i].index, at, at + 1, &taken),
                   "profile");
      best[i] = std::min(best[i], taken);
    }
    for (const StoragePtr& s : changed_) bump_version(s.get());
  }
  return best;
}

std::string Program::text() const {
  std::string s;
  for (const Call& c : calls_) {
    if (!c.chain) {
      print(s, c, "");
      continue;
    }
    s += ranvier::text("chain of ", c.chain->members.size(), " in ", c.chain->tiles, " tiles\n");
    for (const Call& m : c.chain->members) print(s, m, "  ");
  }
  return s;
}

std::vector<std::string> Program::names() const {
  std::vector<std::string> names;
  for (const Call& c : calls_) names.emplace_back(c.chain ? "chain" : c.kernel->name);
  return names;
}

double Program::flops() const {
  double total = 0;
  for (const Call& c : calls_)
    if (c.kernel && c.kernel->flops) total += c.kernel->flops(c.args);
  return total;
}

int64_t Program::buffer_bytes() const {
  int64_t n = 0;
  for (const StoragePtr& s : storages_) n += s->bytes;
  return n;
}

std::vector<std::vector<char>> Program::snapshot() const {
  std::vector<std::vector<char>> saved;
  for (const StoragePtr& s : changed_) {
    saved.emplace_back(static_cast<size_t>(s->bytes));
    if (s->bytes > 0) bytes_to_host(*s.get(), saved.back().data());
  }
  return saved;
}

void Program::restore(const std::vector<std::vector<char>>& saved) const {
  RV_CHECK(saved.size() == changed_.size(), "capture", Value, "expected a snapshot of ",
           changed_.size(), " buffers, got ", saved.size());
  for (size_t i = 0; i < saved.size(); ++i) {
    Storage& s = *changed_[i].get();
    if (s.bytes > 0) bytes_from_host(s, saved[i].data());
    bump_version(&s);
  }
}

Recorder* Recorder::current() { return t_recorder; }

Recorder::Recorder(bool keep_bits)
    : program_(std::make_shared<Program>()), first_id_(next_storage_id()) {
  RV_CHECK(!t_recorder, "capture", Capture,
           "expected no other capture in this thread - captured steps cannot contain each other");
  program_->keeps_bits_ = keep_bits || matmul_precision() == Precision::Exact;
  reserving_.emplace();
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
  program_->calls_.push_back({&k, copy, nullptr});
}

std::shared_ptr<Program> Recorder::finish() {
  if (t_recorder == this) t_recorder = nullptr;
  reserving_.reset();
  return std::move(program_);
}

void Recorder::abandon() {
  const std::shared_ptr<Program> program = finish();
  if (!program) return;
  bool held = false;
  for (const StoragePtr& s : program->storages_)
    held |= s->id >= first_id_ && !Program::owns(s.get());
  if (!held) return;
  try {
    const auto before = program->snapshot();
    try {
      program->run();
    } catch (const std::exception&) {  // whatever ended the recording is the error to be told
    }
    program->restore(before);
  } catch (const std::exception&) {  // no memory for the snapshot: nothing has been run
  }
}

void check_host_read(const char* what, const char* cure) {
  if (t_recorder)
    fail("capture", ErrorKind::Capture, "expected a step that stays on the device, got ", what,
         " - ", cure);
}

}  // namespace ranvier
