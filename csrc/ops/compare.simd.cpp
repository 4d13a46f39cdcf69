#include "ops/compare.h"

#include "core/loops.h"

namespace ranvier::RV_ISA {
namespace {

// One line per operation. A comparison with NaN is false, != is true.
#define RV_LINE(Name, formula)                  \
  struct Name {                                 \
    template <class T>                          \
    static RV_ALWAYS_INLINE bool of(T a, T b) { \
      static_cast<void>(b);                     \
      return formula;                           \
    }                                           \
  };
RV_LINE(Equal, a == b)
RV_LINE(NotEqual, a != b)
RV_LINE(Less, a < b)
RV_LINE(LessEqual, a <= b)
RV_LINE(And, (a != 0) & (b != 0))
RV_LINE(Or, (a != 0) | (b != 0))
RV_LINE(Xor, (a != 0) != (b != 0))
RV_LINE(Finite, a - a == 0)  // infinity - infinity is NaN
#undef RV_LINE

// Sixteen at a time: the compiler makes vectors of the inner loop.
template <class T, class Op>
void rows(const ArrayRef& y, const ArrayRef& a, const ArrayRef& b) {
  Loop<3>({&y, &a, &b}).run_dense<true>([](int64_t n, char* const* p) {
    auto* __restrict to = reinterpret_cast<uint8_t*>(p[0]);
    auto* x = reinterpret_cast<const T*>(p[1]);
    auto* z = reinterpret_cast<const T*>(p[2]);
    for (int64_t i = 0; i < n; i += 16) {
      for (int64_t j = i; j < i + 16; ++j) to[j] = Op::of(x[j], z[j]);
    }
  });
}

template <class Op>
void by_dtype(const ArrayRef& y, const ArrayRef& a, const ArrayRef& b) {
  switch (a.dtype) {
    case DType::Float32:
      return rows<float, Op>(y, a, b);
    case DType::Float64:
      return rows<double, Op>(y, a, b);
    case DType::Int64:
      return rows<int64_t, Op>(y, a, b);
    case DType::Int32:
      return rows<int32_t, Op>(y, a, b);
    default:
      return rows<uint8_t, Op>(y, a, b);
  }
}

}  // namespace

void compare(const CompareArgs& args) {
  const ArrayRef &y = args.y, &a = args.a, &b = args.b;
  switch (args.op) {
    case CompareOp::Equal:
      return by_dtype<Equal>(y, a, b);
    case CompareOp::NotEqual:
      return by_dtype<NotEqual>(y, a, b);
    case CompareOp::Less:
      return by_dtype<Less>(y, a, b);
    case CompareOp::LessEqual:
      return by_dtype<LessEqual>(y, a, b);
    case CompareOp::Greater:
      return by_dtype<Less>(y, b, a);
    case CompareOp::GreaterEqual:
      return by_dtype<LessEqual>(y, b, a);
    case CompareOp::And:
      return rows<uint8_t, And>(y, a, b);
    case CompareOp::Or:
      return rows<uint8_t, Or>(y, a, b);
    case CompareOp::Xor:
      return rows<uint8_t, Xor>(y, a, b);
    case CompareOp::Finite:
      return a.dtype == DType::Float64 ? rows<double, Finite>(y, a, b)
                                       : rows<float, Finite>(y, a, b);
  }
}

}  // namespace ranvier::RV_ISA
