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
  bool pointwise = false;                       // see Kernel
  double (*flops)(const void* args) = nullptr;  // useful operations of a call, where that is told
  HostFn cpu[kLevels];
  DeviceFn cuda = nullptr;
  KernelBase* const next;  // list of all kernels

  static KernelBase* first();

 protected:
  void call(const void* args) const;  // record if capturing, then run
};

// Runs a kernel that was recorded or is about to be.
void run_kernel(const KernelBase& kernel, const void* args);

// `kPointwise = true` in a struct without spans says that element i of its one output, written
// once, depends on elements i of its (broadcast) inputs alone, and that the output may lie where an
// input lies.
template <class Args>
class Kernel : public KernelBase {
  static_assert(std::is_trivially_copyable_v<Args>, "argument structs are plain data");

 public:
  Kernel(const char* name, const HostFn (&cpu)[kLevels])
      : KernelBase(name, Args::kArrays, Args::kSpans, sizeof(Args), cpu) {
    if constexpr (requires { Args::kPointwise; }) pointwise = Args::kPointwise;
  }
  void operator()(const Args& args) const { call(&args); }
};

// RV_FLOPS(conv2d, Conv2dArgs, [](const Conv2dArgs& a) { return ...; }) in the op's .cpp tells
// programs how many operations a call does, multiplications and additions counted apart.
template <class Args>
struct FlopsOf {
  template <class F>
  FlopsOf(KernelBase& kernel, F) {
    kernel.flops = [](const void* args) {
      return static_cast<double>(F{}(*static_cast<const Args*>(args)));
    };
  }
};
#define RV_FLOPS(name, Args, ...) static ::ranvier::FlopsOf<Args> name##_flops(name, __VA_ARGS__)

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
