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
RV_LINE(Greater, a > b)
RV_LINE(GreaterEqual, a >= b)
RV_LINE(And, (a != 0) & (b != 0))
RV_LINE(Or, (a != 0) | (b != 0))
RV_LINE(Xor, (a != 0) != (b != 0))
RV_LINE(Finite, a - a == 0)  // infinity - infinity is NaN
#undef RV_LINE

template <class T, class Op>
void rows(const CompareArgs& args) {
  Loop<3>({&args.y, &args.a, &args.b}).map([](int64_t n, char* const* p, const int64_t* stride) {
    const Row<uint8_t> y(p[0], stride[0]);
    const Row<T> a(p[1], stride[1]), b(p[2], stride[2]);
    int64_t i = 0;
    // The compiler makes vectors of these two, without a rest for either.
    if (y.dense() && a.dense() && (b.dense() || b.stride == 0)) {
      const int64_t whole = n & -64;
      auto* __restrict yp = reinterpret_cast<uint8_t*>(p[0]);
      auto* ap = reinterpret_cast<const T*>(p[1]);
      auto* bp = reinterpret_cast<const T*>(p[2]);
      if (b.stride == 0) {
        const T value = *bp;
        for (int64_t k = 0; k < whole; ++k) yp[k] = Op::of(ap[k], value);
      } else {
        for (int64_t k = 0; k < whole; ++k) yp[k] = Op::of(ap[k], bp[k]);
      }
      i = whole;
    }
    for (; i < n; ++i) {
      y[i] = Op::of(a[i], b[i]);
      keep_scalar();
    }
  });
}

template <class Op>
void by_dtype(const CompareArgs& args) {
  switch (args.a.dtype) {
    case DType::Float32:
      return rows<float, Op>(args);
    case DType::Float64:
      return rows<double, Op>(args);
    case DType::Int64:
      return rows<int64_t, Op>(args);
    case DType::Int32:
      return rows<int32_t, Op>(args);
    default:
      return rows<uint8_t, Op>(args);
  }
}

}  // namespace

void compare(const CompareArgs& args) {
  switch (args.op) {
    case CompareOp::Equal:
      return by_dtype<Equal>(args);
    case CompareOp::NotEqual:
      return by_dtype<NotEqual>(args);
    case CompareOp::Less:
      return by_dtype<Less>(args);
    case CompareOp::LessEqual:
      return by_dtype<LessEqual>(args);
    case CompareOp::Greater:
      return by_dtype<Greater>(args);
    case CompareOp::GreaterEqual:
      return by_dtype<GreaterEqual>(args);
    case CompareOp::And:
      return rows<uint8_t, And>(args);
    case CompareOp::Or:
      return rows<uint8_t, Or>(args);
    case CompareOp::Xor:
      return rows<uint8_t, Xor>(args);
    case CompareOp::Finite:
      return args.a.dtype == DType::Float64 ? rows<double, Finite>(args)
                                            : rows<float, Finite>(args);
  }
}

}  // namespace ranvier::RV_ISA
