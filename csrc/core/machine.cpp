#include "core/machine.h"

#include <chrono>

#include "core/bind.h"
#include "core/kernel.h"
#include "core/threads.h"

namespace ranvier {

RV_KERNEL(fma_peak, PeakArgs);

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int lanes() {
#if defined(__x86_64__) || defined(_M_X64)
  return level() == Level::Avx512 ? 16 : level() == Level::Avx2 ? 8 : 4;
#else
  return 4;
#endif
}

// Floating-point operations per second of multiply-adds in registers, on all threads.
double measure_flops() {
  int64_t chunks = num_threads(), repeats = int64_t{4} << 20;
  Array sink = Array::empty({chunks}, DType::Float32);
  fma_peak({out(sink), chunks, repeats / 16});
  auto start = std::chrono::steady_clock::now();
  fma_peak({out(sink), chunks, repeats});
  return 2.0 * 12 * lanes() * static_cast<double>(repeats * chunks) / seconds_since(start);
}

// Bytes per second, read plus written, of a copy far larger than the caches.
double measure_copy() {
  int64_t n = int64_t{1} << 25;
  Array a = Array::empty({n}, DType::Float32), b = Array::empty({n}, DType::Float32);
  copy_into(a, Array::scalar(1, DType::Float32, Device{}));
  copy_into(b, a);
  auto start = std::chrono::steady_clock::now();
  copy_into(b, a);
  return 8.0 * static_cast<double>(n) / seconds_since(start);
}

}  // namespace

RV_BIND(m) {
  m.def("measure_flops", &measure_flops, RV_NOGIL);
  m.def("measure_copy", &measure_copy, RV_NOGIL);
}

}  // namespace ranvier
