// What a device library (CUDA, or its emulation on the host) and the core agree on: plain data and
// C functions. No C++ object crosses this line; the library is found and opened at run time.
#pragma once

#include <stdint.h>

namespace ranvier {

// Counted up with every change of this file, of core/args.h or of an argument struct.
constexpr int32_t kDeviceAbi = 5;

// What a function of the library returns; the text is what `error` gives.
enum DeviceCode : int32_t {
  kDeviceOk = 0,
  kDeviceRuntime,
  kDeviceMemory,  // out of memory: the core gives its cache back and tries once more
  kDeviceIndex,   // a kernel met an index out of range
  kDeviceValue,   // a kernel met a value that its op refuses
};

struct DeviceKernel {
  const char* name;
  int64_t bytes;  // of the argument struct
  int (*run)(const void* args, void* stream);
};

struct DeviceLibrary {
  int32_t abi;
  int32_t kernel_count;
  const DeviceKernel* kernels;
  const char* flavor;  // "cuda" or "emulation"
  const char* built;   // one line: compiler version and architectures
  int32_t exact;       // blocks have the size asked for and are never cached: bounds are watched
  int (*devices)(int* count);
  int (*describe)(int device, char* text, int64_t room);  // name, memory, processors, driver
  int (*allocate)(int device, int64_t bytes, void** data);
  int (*release)(int device, void* data);
  // Bytes between host and device, or within a device, in the order of the device's stream. Returns
  // when the host's side is done with.
  int (*copy)(int device, void* to, const void* from, int64_t bytes);
  int (*synchronize)(int device);
  // Steps as graphs. From graph_begin on, what this thread asks of the device is written down, not
  // run; graph_end makes one graph of it, or throws it away where `graph` is null. A failure of
  // either leaves nothing behind, and the thread as it was.
  int (*graph_begin)(int device);
  int (*graph_end)(int device, void** graph);
  int (*graph_launch)(int device, void* graph);
  int (*graph_release)(int device, void* graph);
  // Notes the time at which the device comes here in its work; nanoseconds between two such notes,
  // waited for.
  int (*stamp)(int device, int64_t index);
  int (*elapsed)(int device, int64_t from, int64_t to, int64_t* nanoseconds);
  // What the library calls before it gives up on memory: the core lets go of what it keeps.
  void (*on_pressure)(void (*give_back)(int device));
  int (*option)(const char* name,
                const char* value);  // of the emulation: see cuda/core/emulation.h
  const char* (*error)(void);        // of this thread's last failure
};

}  // namespace ranvier

// The library's one exported function, null when it was built for another kDeviceAbi.
#define RV_DEVICE_ENTRY "ranvier_device_library"
extern "C" typedef const ranvier::DeviceLibrary* (*RanvierDeviceEntry)(int32_t abi);
