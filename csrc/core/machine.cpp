#include "core/machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>

#include "core/bind.h"
#include "core/check.h"
#include "core/kernel.h"
#include "core/threads.h"

namespace ranvier {

RV_KERNEL(fma_peak, PeakArgs);
RV_KERNEL(stream_memory, StreamArgs);

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

// Floating-point operations per second of multiply-adds in registers, on all threads: of
// `repeats` turns of a loop of twelve, one to two cycles for each multiply-add.
double measure_flops(int64_t repeats) {
  RV_CHECK(repeats >= 16, "measure_flops", Value, "expected at least 16 repeats, got ", repeats);
  int64_t chunks = num_threads();
  Array sink = Array::empty({chunks}, DType::Float32);
  fma_peak({out(sink), chunks, repeats / 16});
  auto start = std::chrono::steady_clock::now();
  fma_peak({out(sink), chunks, repeats});
  return 2.0 * 12 * lanes() * static_cast<double>(repeats * chunks) / seconds_since(start);
}

// Seconds that a cache line takes from this thread to another one and back: some 40 ns where the
// two share a core, 100 where they share a cache, 500 from one die to the next. Zero where no other
// thread answers within 20 ms.
double measure_handshake() {
  constexpr int64_t kWarm = 100, kTrips = 2000;
  struct alignas(64) Line {
    std::atomic<int64_t> value{0};
  };
  Line there, back, ended;
  double taken = 0;
  parallel_for(std::min(num_threads(), 2), [&](int64_t side) {
    if (side == 1) {
      for (int64_t k = 1; k <= kWarm + kTrips; ++k) {
        while (there.value.load(std::memory_order_acquire) < k)
          if (ended.value.load(std::memory_order_relaxed)) return;
        back.value.store(k, std::memory_order_release);
      }
      return;
    }
    auto start = std::chrono::steady_clock::now();
    for (int64_t k = 1; k <= kWarm + kTrips; ++k) {
      there.value.store(k, std::memory_order_release);
      for (int64_t spins = 1; back.value.load(std::memory_order_acquire) < k; ++spins)
        if (spins % 4096 == 0 && seconds_since(start) > 0.02) {
          ended.value.store(1);
          return;
        }
      if (k == kWarm) start = std::chrono::steady_clock::now();
    }
    taken = seconds_since(start) / kTrips;
  });
  return taken;
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

// Bytes per second, read plus written, of passes over arrays of which one pass moves about `bytes`:
// the best of passes that take about 20 ms together.
double measure_stream(const std::string& pattern, int64_t bytes) {
  Stream kind = pattern == "read"     ? Stream::Read
                : pattern == "copy"   ? Stream::Copy
                : pattern == "update" ? Stream::Update
                                      : Stream::Add;
  RV_CHECK(kind != Stream::Add || pattern == "add", "measure_stream", Value,
           "expected read, copy, update or add, got ", pattern);
  RV_CHECK(bytes > 0, "measure_stream", Value, "expected a number of bytes above 0, got ", bytes);
  int64_t streams = kind == Stream::Read ? 1 : kind == Stream::Add ? 3 : 2;
  int64_t chunks = std::max<int64_t>(1, bytes / (4 * streams * kStreamChunk));
  Array x = Array::empty({chunks * kStreamChunk}, DType::Float32);
  Array y = kind == Stream::Add ? Array::empty_like(x) : x;
  Array z = kind == Stream::Read ? Array::empty({chunks}, DType::Float32) : Array::empty_like(x);
  for (const Array& a : {x, y, z}) copy_into(a, Array::scalar(1, DType::Float32, Device{}));
  double best = 1e30, total = 0;
  for (int pass = 0; total < 0.02 || pass < 4; ++pass) {
    auto start = std::chrono::steady_clock::now();
    stream_memory({inout(x), inout(y), inout(z), chunks, kind});
    double taken = seconds_since(start);
    total += taken;
    if (pass > 0) best = std::min(best, taken);
  }
  return 4.0 * static_cast<double>(streams * chunks * kStreamChunk) / std::max(best, 1e-9);
}

}  // namespace

RV_BIND(m) {
  m.def("measure_flops", &measure_flops, nb::arg("repeats") = int64_t{4} << 20, RV_NOGIL);
  m.def("measure_handshake", &measure_handshake, RV_NOGIL);
  m.def("measure_copy", &measure_copy, RV_NOGIL);
  m.def("measure_stream", &measure_stream, nb::arg("pattern"), nb::arg("bytes"), RV_NOGIL);
}

}  // namespace ranvier
