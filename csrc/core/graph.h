// Captured steps on a device beside the host: runs of calls that one device does alone are handed
// to it as one graph, which it then replays by itself. What cannot be made a graph is replayed call
// by call.
#pragma once

#include <string>
#include <vector>

#include "core/memory.h"

namespace ranvier {

struct Call;

// Where a call runs: Cuda only if all of its arrays lie on one such device, so that the host has no
// part in it.
Device device_of(const Call& call);

class Graphs {
 public:
  Graphs() = default;
  Graphs(const Graphs&) = delete;
  ~Graphs();

  // Runs the calls in order, each run of them on one device as a graph. The first time the graphs
  // are made; the calls must not change or move afterwards.
  void replay(const std::vector<Call>& calls, void (*run)(const Call&));
  int count() const;                                    // graphs, after the first replay
  const std::string& problem() const { return text_; }  // why a part has none; empty if none lacks

 private:
  struct Part {
    size_t first, last;  // calls
    Device device;
    void* graph = nullptr;
  };
  void find(const std::vector<Call>& calls);
  void make(Part& part, const std::vector<Call>& calls, void (*run)(const Call&));

  bool found_ = false;
  std::vector<Part> parts_;
  std::string text_;
};

}  // namespace ranvier
