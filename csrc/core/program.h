// Captured steps. A Recorder notes every kernel call of one eager run as {kernel, struct, buffers};
// the Program that it leaves behind replays them in one call, without Python.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/kernel.h"
#include "core/memory.h"

namespace ranvier {

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;

  // Runs every recorded call in order and stamps the buffers that existed before and were changed.
  // The first replay plans the memory.
  void replay();
  // Nanoseconds that each call took, best of `repeats` replays; runs the step that often.
  std::vector<int64_t> profile(int repeats);
  int64_t size() const { return static_cast<int64_t>(calls_.size()); }
  std::string text() const;                             // one line per kernel call
  int64_t buffer_bytes() const;                         // of all buffers that the step touches
  int64_t arena_bytes() const { return arena_bytes_; }  // shared by the temporaries; after plan()
  int64_t planned_bytes() const { return planned_bytes_; }  // what they would take without sharing

  // Buffers that existed before the recording and are written by it (parameters, optimizer state).
  const std::vector<StoragePtr>& changed() const { return changed_; }
  // Copies of their contents, and back: lets a check run the step twice from one state.
  std::vector<std::vector<char>> snapshot() const;
  void restore(const std::vector<std::vector<char>>& saved) const;

 private:
  friend class Recorder;
  struct Call {
    const KernelBase* kernel;
    void* args;
  };
  template <class F>
  static void for_each_ref(const Call& call, const F& f);
  std::vector<Call> calls_;
  std::vector<std::unique_ptr<char[]>> structs_;  // the argument structs and their spans
  std::vector<StoragePtr> storages_;              // everything they point to
  std::vector<StoragePtr> changed_;

  // Temporaries that only this program holds live in one arena: two of them share a place when one
  // is last used before the other is first written.
  void plan();
  bool planned_ = false;
  StoragePtr arena_;
  int64_t arena_bytes_ = 0, planned_bytes_ = 0;
};

class Recorder {
 public:
  Recorder();
  ~Recorder();
  Recorder(const Recorder&) = delete;

  static Recorder* current();  // of this thread; nullptr when nothing is being captured

  void record(const KernelBase& kernel, const void* args);
  std::shared_ptr<Program> finish();  // ends the recording
  void abandon();                     // ends it and undoes every change to older buffers

 private:
  char* keep(const void* data, int64_t bytes);
  void note(const ArrayRef& ref);

  std::shared_ptr<Program> program_;
  std::unordered_map<Storage*, bool> seen_;
  std::vector<std::pair<StoragePtr, std::vector<char>>> before_;  // contents before the first write
  uint64_t first_id_;
};

// Raises CaptureError when a value is about to be read on the host while a step is recorded.
void check_host_read(const char* what);

}  // namespace ranvier
