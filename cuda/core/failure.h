// What can go wrong with a device, and the cure: one text each, for what CUDA reports and for what
// the emulation is told to report (option "fail"), so that the tests read what a user would.
#pragma once

#include <string>

#include "core/check.h"

namespace ranvier::backend {

enum class Failure {
  Memory,        // none left: the core gives its cache back and tries again
  Driver,        // older than the library's runtime
  Architecture,  // a GPU that the library has no code for
  Lost,          // the context is broken: every later call fails, too
  Busy,          // another process has the device to itself
  Other,
};

// "could not ...: detail - cure"
[[noreturn]] inline void raise_failure(Failure failure, const char* what,
                                       const std::string& detail) {
  const char* cure = "";
  switch (failure) {
    case Failure::Driver:
      cure =
          " - install the NVIDIA driver of this CUDA version or a newer one; `ranvier info` "
          "names both";
      break;
    case Failure::Architecture:
      cure =
          " - GPUs need compute capability 8.0 or higher; build with "
          "-DRANVIER_CUDA_ARCHITECTURES=native for this one, or use device 'cpu'";
      break;
    case Failure::Lost:
      cure =
          " - this process has lost the GPU: save what is on the cpu and start again; tensors "
          "on the GPU cannot be read any more";
      break;
    case Failure::Busy:
      cure = " - another process has the GPU to itself: see `nvidia-smi`, or take another device";
      break;
    case Failure::Memory:  // the core names the cure, with the sizes
    case Failure::Other:
      break;
  }
  fail(what, failure == Failure::Memory ? ErrorKind::Memory : ErrorKind::Runtime, detail, cure);
}

}  // namespace ranvier::backend
