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
Place place(int device);                // makes the device current
void check_launch(const char* kernel);  // did it start? raises, and forgets, what failed so far
void finish(const Place&);              // after the launches of one kernel
void* allocate(int device, int64_t bytes);
void release(int device, void* data);
void* allocate_scratch(const Place&, int64_t bytes);
void release_scratch(const Place&, void* data);
void copy(const Place&, void* to, const void* from, int64_t bytes);
void synchronize(const Place&);
void option(const std::string& name, const std::string& value);

// Steps as graphs: see DeviceLibrary. Between begin and end, `place` and workspace are the graph's.
void graph_begin(int device);
void* graph_end(int device, bool keep);  // null where it is thrown away
void graph_launch(const Place&, void* graph);
void graph_release(const Place&, void* graph);
void stamp(const Place&, int64_t index);
int64_t elapsed(const Place&, int64_t from, int64_t to);

// Lets the core give back what it keeps on a device, before an allocation is tried once more.
void relieve(int device);
// A child of fork cannot use its parent's GPU: raises that. Every use of a device comes by here.
void check_process();

// A kernel that meets a wrong index or value says so here and goes on; whoever waits for the device
// next raises it. Memory that host and devices share.
struct IndexFlag {
  int raised;  // 0, or 1 once somebody filled in the rest
  int axis;    // or one of those below
  int64_t value, low, high, position;
  double number;
  const char* op;  // host address, only passed through by kernels
};
constexpr int kWrongClass = -1;   // of a loss
constexpr int kWrongWeight = -2;  // of a drawing: `number` in row `position`
constexpr int kFewWeights = -3;   // `value` of the weights in row `position` are above 0, not `low`
IndexFlag* index_flag();
void raise_index_error();  // and forget it

}  // namespace ranvier::backend
