// Dispatch: a kernel is a named pair of slots {cpu, cuda}. Calling it with its argument struct
// picks the slot by device and runs it; while a step is being captured the call is also recorded.
#pragma once

#include <type_traits>

#include "core/args.h"
#include "core/cpu.h"

namespace ranvier {

// A kernel of another library (CUDA, emulation): plain C, 0 on success.
using DeviceFn = int (*)(const void* args, void* stream);

class KernelBase {
 public:
  using HostFn = void (*)(const void* args);
  KernelBase(const char* name, int arrays, int spans, int bytes, const HostFn (&cpu)[kLevels]);
  KernelBase(const KernelBase&) = delete;

  const char* const name;
  const int id;
  const int arrays, spans, bytes;
  HostFn cpu[kLevels];
  DeviceFn cuda = nullptr;
  KernelBase* const next;  // list of all kernels

  static KernelBase* first();

 protected:
  void call(const void* args) const;  // record if capturing, then run
};

// Runs a kernel that was recorded or is about to be.
void run_kernel(const KernelBase& kernel, const void* args);

template <class Args>
class Kernel : public KernelBase {
  static_assert(std::is_trivially_copyable_v<Args>, "argument structs are plain data");

 public:
  Kernel(const char* name, const HostFn (&cpu)[kLevels])
      : KernelBase(name, Args::kArrays, Args::kSpans, sizeof(Args), cpu) {}
  void operator()(const Args& args) const { call(&args); }
};

template <class Args, void (*F)(const Args&)>
void kernel_thunk(const void* args) {
  F(*static_cast<const Args*>(args));
}

}  // namespace ranvier

// Defines the kernel object `name` of the op's .cpp file. RV_KERNEL takes the variants that
// x.simd.cpp compiles for each instruction set; RV_PLAIN_KERNEL takes one ordinary function.
#if defined(__x86_64__) || defined(_M_X64)
#define RV_KERNEL(name, Args)                                                                     \
  static ::ranvier::Kernel<Args> name(#name,                                                      \
                                      {::ranvier::kernel_thunk<Args, &::ranvier::baseline::name>, \
                                       ::ranvier::kernel_thunk<Args, &::ranvier::avx2::name>,     \
                                       ::ranvier::kernel_thunk<Args, &::ranvier::avx512::name>})
#define RV_PLAIN_KERNEL(name, Args, fn)                                               \
  static ::ranvier::Kernel<Args> name(                                                \
      #name, {::ranvier::kernel_thunk<Args, &fn>, ::ranvier::kernel_thunk<Args, &fn>, \
              ::ranvier::kernel_thunk<Args, &fn>})
#else
#if defined(__aarch64__)
#define RV_KERNEL(name, Args)                \
  static ::ranvier::Kernel<Args> name(#name, \
                                      {::ranvier::kernel_thunk<Args, &::ranvier::neon::name>})
#else
#define RV_KERNEL(name, Args)                \
  static ::ranvier::Kernel<Args> name(#name, \
                                      {::ranvier::kernel_thunk<Args, &::ranvier::baseline::name>})
#endif
#define RV_PLAIN_KERNEL(name, Args, fn) \
  static ::ranvier::Kernel<Args> name(#name, {::ranvier::kernel_thunk<Args, &fn>})
#endif
