// What the library needs of the machine below it: CUDA (cuda.cu) or the emulation (emulation.cpp).
// Errors are exceptions of core/check.h here; library.cpp turns them into codes.
#pragma once

#include <stdint.h>

#include <string>

#include "core/args.h"

namespace ranvier::backend {

extern const char* const kFlavor;  // "cuda" or "emulation"
extern const char* const kBuilt;   // compiler and architectures
extern const bool kExact;          // see DeviceLibrary

// A device and the stream that all its work goes through.
struct Place {
  int device;
  void* stream;
};

int devices();
std::string describe(int device);
Place place(int device);    // makes the device current
void finish(const Place&);  // after the launches of one kernel: did they start?
void* allocate(int device, int64_t bytes);
void release(int device, void* data);
void* allocate_scratch(const Place&, int64_t bytes);
void release_scratch(const Place&, void* data);
void copy(const Place&, void* to, const void* from, int64_t bytes);
void synchronize(const Place&);
void option(const std::string& name, const std::string& value);

// A kernel that meets a wrong index says so here and goes on; whoever waits for the device next
// raises it. Memory that host and devices share.
struct IndexFlag {
  int raised;  // 0, or 1 once somebody filled in the rest
  int axis;    // -1: a class of a loss
  int64_t value, low, high, position;
  const char* op;  // host address, only passed through by kernels
};
IndexFlag* index_flag();
void raise_index_error();  // and forget it

}  // namespace ranvier::backend
