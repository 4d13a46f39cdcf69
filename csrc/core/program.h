// Captured steps. A Recorder notes every kernel call of a step as {kernel, struct, buffers} instead
// of running it; the Program that it leaves behind runs them in one call, without Python. Before
// its first replay the program is rewritten (csrc/rewrites). Temporaries get places in an arena.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/graph.h"
#include "core/kernel.h"
#include "core/memory.h"

namespace ranvier {

struct Call;

// Pointwise calls that run together, tile after tile, so that what one writes the next finds in the
// cache. A tile is one index of each of the outermost axes and some of the next one.
struct Chain {
  std::vector<Call> members;
  int ndim;
  int64_t shape[kMaxDims];  // of every output
  int order[kMaxDims];      // axes from the outermost in memory to the innermost
  int outer;                // how many of them a tile fixes
  int64_t step;             // how much of the next one it takes
  int64_t tiles;
};

constexpr int kMostPointwiseBytes = 1024;  // of a chain member's argument struct

struct Call {
  const KernelBase* kernel = nullptr;  // nullptr: a chain, or a call that a rewrite removed
  void* args = nullptr;
  std::shared_ptr<Chain> chain = nullptr;
};

template <class F>
void for_each_ref(const Call& call, const F& f);

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;

  // Runs the calls as they were recorded: the step's first run, since nothing has happened so far.
  void run();
  // Runs every call in order and stamps the buffers that existed before and were changed.
  // The first replay rewrites the calls and plans the memory.
  void replay();
  // Nanoseconds that each call took, best of `repeats` replays; runs the step that often.
  std::vector<int64_t> profile(int repeats);
  int64_t size() const { return static_cast<int64_t>(calls_.size()); }
  std::string text() const;                // one line per kernel call
  int64_t buffer_bytes() const;            // of all buffers that the step touches
  std::vector<std::string> names() const;  // of the kernels, in order; "chain" for a chain
  double flops() const;                    // of all calls that tell theirs
  int64_t arena_bytes() const { return arena_bytes_; }  // shared by the temporaries; after plan()
  int64_t planned_bytes() const { return planned_bytes_; }  // what they would take without sharing
  const Graphs& graphs() const { return graphs_; }  // of a step on a device; after the first replay
  // How often each rewrite rule applied, by its name; before the first replay nothing.
  const std::vector<std::pair<std::string, int>>& rewrites() const { return rewrites_; }

  // Buffers that existed before the recording and are written by it (parameters, optimizer state).
  const std::vector<StoragePtr>& changed() const { return changed_; }
  // Copies of their contents, and back: lets a check run the step twice from one state.
  std::vector<std::vector<char>> snapshot() const;
  void restore(const std::vector<std::vector<char>>& saved) const;

 private:
  friend class Recorder;
  friend class Rewriter;
  void prepare();  // rewrite and plan, once
  void plan();
  void poison_arenas() const;  // where devices watch their memory: nobody relies on what was there
  // The only holder of a block: neither Python nor another program can see it.
  static bool owns(const Storage* s);

  std::vector<Call> calls_;
  std::vector<std::unique_ptr<char[]>> structs_;  // the argument structs and their spans
  std::vector<StoragePtr> storages_;              // everything they point to
  std::vector<StoragePtr> changed_;
  std::vector<std::pair<std::string, int>> rewrites_;
  bool keeps_bits_ = false;  // no rewrite may add in another order
  bool rewritten_ = false, prepared_ = false;
  std::vector<StoragePtr> arenas_;  // blocks that the temporaries share
  int64_t arena_bytes_ = 0, planned_bytes_ = 0;
  Graphs graphs_;
};

class Recorder {
 public:
  // Replays give the bits of the eager step if `keep_bits`, and under the precision "exact".
  explicit Recorder(bool keep_bits = false);
  ~Recorder();
  Recorder(const Recorder&) = delete;

  static Recorder* current();  // of this thread; nullptr when nothing is being captured

  void record(const KernelBase& kernel, const void* args);
  bool touches(Storage* s) const { return seen_.count(s) > 0; }
  std::shared_ptr<Program> finish();  // ends the recording, of which nothing has been run
  // Ends it without a program. Older buffers stay as they are; if somebody still holds a result of
  // the step, such as the traceback of an error, it gets its values.
  void abandon();

 private:
  char* keep(const void* data, int64_t bytes);
  void note(const ArrayRef& ref);

  std::shared_ptr<Program> program_;
  std::unordered_map<Storage*, bool> seen_;
  std::optional<Reserving> reserving_;
  uint64_t first_id_;
};

// Raises CaptureError when a value is about to be read on the host while a step is recorded.
constexpr const char* kReadOutside =
    "return the tensor from the captured function and read it outside";
void check_host_read(const char* what, const char* cure = kReadOutside);

template <class F>
void for_each_ref(const Call& c, const F& f) {
  if (c.chain)
    for (const Call& member : c.chain->members) for_each_ref(member, f);
  if (!c.kernel) return;
  auto* refs = static_cast<ArrayRef*>(c.args);
  for (int i = 0; i < c.kernel->arrays; ++i)
    if (refs[i].storage) f(refs[i]);
  auto* spans = reinterpret_cast<const Span*>(refs + c.kernel->arrays);
  for (int i = 0; i < c.kernel->spans; ++i)
    for (int64_t j = 0; j < spans[i].count; ++j)
      if (spans[i].items[j].storage) f(const_cast<ArrayRef&>(spans[i].items[j]));
}

}  // namespace ranvier
