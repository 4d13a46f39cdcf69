#include "core/precision.h"

#include <atomic>

#include "core/bind.h"

namespace ranvier {
namespace {

std::atomic<int> current{static_cast<int>(Precision::Highest)};

}  // namespace

Precision matmul_precision() { return static_cast<Precision>(current.load()); }

RV_BIND(m) {
  m.def("matmul_precision", [] { return current.load(); });
  m.def("set_matmul_precision", [](int value) { current.store(value); }, "value"_a);
}

}  // namespace ranvier
