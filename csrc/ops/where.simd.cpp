#include "ops/where.h"

#include "core/loops.h"

namespace ranvier::RV_ISA {
namespace {

// Bits move; what they mean does not matter.
template <class T>
void choose(const WhereArgs& args) {
  Loop<4> loop({&args.y, &args.condition, &args.a, &args.b});
  loop.map([](int64_t n, char* const* p, const int64_t* stride) {
    const Row<T> y(p[0], stride[0]), a(p[2], stride[2]), b(p[3], stride[3]);
    const Row<uint8_t> c(p[1], stride[1]);
    int64_t i = 0;
    // The compiler makes vectors of dense rows, and of rows where one side is a constant.
    if (y.dense() && c.dense()) {
      auto* __restrict yp = reinterpret_cast<T*>(p[0]);
      auto* cp = reinterpret_cast<const uint8_t*>(p[1]);
      auto* ap = reinterpret_cast<const T*>(p[2]);
      auto* bp = reinterpret_cast<const T*>(p[3]);
      const int64_t whole = n & -64;
      if (a.dense() && b.dense()) {
        for (; i < whole; ++i) {
          const T s = ap[i], t = bp[i];
          yp[i] = cp[i] ? s : t;
        }
      } else if (a.stride == 0 && b.dense()) {
        const T s = *ap;
        for (; i < whole; ++i) {
          const T t = bp[i];
          yp[i] = cp[i] ? s : t;
        }
      } else if (a.dense() && b.stride == 0) {
        const T t = *bp;
        for (; i < whole; ++i) {
          const T s = ap[i];
          yp[i] = cp[i] ? s : t;
        }
      }
    }
    for (; i < n; ++i) {
      y[i] = c[i] ? a[i] : b[i];
      keep_scalar();
    }
  });
}

}  // namespace

void where(const WhereArgs& args) {
  switch (item_size(args.y.dtype)) {
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
