// The list of kernels that this library has; each .cu file adds its own.
#pragma once

#include "core/args.h"
#include "cuda/core/backend.h"

namespace ranvier {

// What a kernel is launched with: its name, for errors, and where it runs.
struct Context {
  const char* kernel;
  backend::Place place;
};

struct Registered {
  using Fn = void (*)(const void* args, const Context&);
  Registered(const char* name, int64_t bytes, int arrays, int spans, Fn fn);
  const char* name;
  int64_t bytes;
  int arrays, spans;
  Fn fn;
  int (*run)(const void* args, void* stream) = nullptr;
  Registered* next;
  static Registered* first;
};

int run_registered(const Registered& kernel, const void* args);

template <class Args, void (*F)(const Args&, const Context&)>
struct Entry {
  explicit Entry(const char* name)
      : registered(name, sizeof(Args), Args::kArrays, Args::kSpans, &call) {
    self = &registered;
    registered.run = &run;
  }
  static void call(const void* args, const Context& context) {
    F(*static_cast<const Args*>(args), context);
  }
  static int run(const void* args, void*) { return run_registered(*self, args); }
  Registered registered;
  static inline const Registered* self = nullptr;
};

}  // namespace ranvier

// Makes `void fn(const Args&, const Context&)` the CUDA variant of kernel `name`.
#define RV_DEVICE_KERNEL(name, Args, fn) \
  static const ::ranvier::Entry<Args, &fn> rv_entry_##name(#name)
