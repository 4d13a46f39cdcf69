#include "ops/where.h"

#include "core/loops.h"

namespace ranvier::RV_ISA {
namespace {

// Bits move; what they mean does not matter. The compiler makes vectors of the loop.
template <class T>
void choose(const WhereArgs& args) {
  Loop<4>({&args.y, &args.condition, &args.a, &args.b}).run_dense([](int64_t n, char* const* p) {
    auto* __restrict y = reinterpret_cast<T*>(p[0]);
    auto* condition = reinterpret_cast<const uint8_t*>(p[1]);
    auto* a = reinterpret_cast<const T*>(p[2]);
    auto* b = reinterpret_cast<const T*>(p[3]);
    for (int64_t i = 0; i < n; ++i) {
      const T s = a[i], t = b[i];
      y[i] = condition[i] ? s : t;
    }
  });
}

}  // namespace

void where(const WhereArgs& args) {
  switch (item_bytes(args.y.dtype)) {
    case 8:
      return choose<uint64_t>(args);
    case 4:
      return choose<uint32_t>(args);
    case 2:
      return choose<uint16_t>(args);
    default:
      return choose<uint8_t>(args);
  }
}

}  // namespace ranvier::RV_ISA
