// Memory traffic of emulated kernels: who is told of their accesses. See traffic.cpp.
#pragma once

#include <stdint.h>

#include <string>

#include "cuda/core/emulation.h"

namespace ranvier::emulation {

enum class Access : uint8_t { None, GlobalRead, GlobalWrite, SharedRead, SharedWrite };

// Threads are numbered through the blocks of a cluster: 1024 * rank + thread.
class Watcher {
 public:
  virtual void begin(const char* kernel, const void* code, dim3 grid, dim3 block) = 0;
  virtual void begin_block(int rank) = 0;
  // `place` is the instruction of the kernel.
  virtual void touch(int thread, const void* place, const void* address, int bytes, Access) = 0;
  // All lanes of the warp of `thread` have come to one place: what they did belongs together.
  virtual void settle(int thread) = 0;
  virtual void end(bool sound) = 0;
  // Begins to append what is counted to a file; "" ends it.
  virtual void write_to(const std::string& path) = 0;

 protected:
  ~Watcher() = default;
};
extern Watcher* g_watcher;  // null, but in the library `traffic`
extern int g_thread;        // that runs; -1: none, the host

// Whether it lies where kernels find the arrays of the device.
bool is_device_memory(const void* address);

}  // namespace ranvier::emulation
