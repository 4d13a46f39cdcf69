#include "ops/binary.h"

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

// One line per operation: on vectors of floats, and on single integers.
struct Add {
  template <class V>
  static RV_ALWAYS_INLINE V of(V a, V b) {
    return a + b;
  }
};
struct Subtract {
  template <class V>
  static RV_ALWAYS_INLINE V of(V a, V b) {
    return a - b;
  }
};
struct Multiply {
  template <class V>
  static RV_ALWAYS_INLINE V of(V a, V b) {
    return a * b;
  }
};
struct Divide {
  template <class V>
  static RV_ALWAYS_INLINE V of(V a, V b) {
    return a / b;
  }
};
struct Maximum {  // NaN on either side wins
  template <class V>
  static RV_ALWAYS_INLINE V of(V a, V b) {
    return max_nan(b, a);
  }
  static RV_ALWAYS_INLINE int64_t of(int64_t a, int64_t b) { return a > b ? a : b; }
};
struct Minimum {
  template <class V>
  static RV_ALWAYS_INLINE V of(V a, V b) {
    return min_nan(b, a);
  }
  static RV_ALWAYS_INLINE int64_t of(int64_t a, int64_t b) { return a < b ? a : b; }
};

struct Power {
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    return pow(a, b);
  }
  // Integers: b >= 0; a negative power of an integer is 0 except for a = 1 and a = -1.
  static RV_ALWAYS_INLINE int64_t of(int64_t a, int64_t b) {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    uint64_t r = 1, base = static_cast<uint64_t>(a);
    for (; b; b >>= 1, base *= base)
      if (b & 1) r *= base;
    return static_cast<int64_t>(r);
  }
};

// Rows with one number for each, before or behind the operator: a factor of each channel of planes.
template <class T, class Op>
void rows_with_number(const Loop<3>& loop) {
  loop.map([](int64_t n, char* const* p, const int64_t* stride) {
    const bool first = stride[1] == 0;
    const Vec<T> same(*reinterpret_cast<const T*>(p[first ? 1 : 2]));
    auto* x = reinterpret_cast<const T*>(p[first ? 2 : 1]);
    auto* y = reinterpret_cast<T*>(p[0]);
    if (first) {
      for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
        Op::of(same, Vec<T>::load(x + i, lanes)).store(y + i, lanes);
      });
    } else {
      for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
        Op::of(Vec<T>::load(x + i, lanes), same).store(y + i, lanes);
      });
    }
  });
}

template <class T, class Op>
void floats(const BinaryArgs& args) {
  constexpr int64_t kItem = sizeof(T);
  const Loop<3> loop({&args.y, &args.a, &args.b});
  const int last = loop.ndim - 1;
  auto is = [&](int k, int64_t stride) RV_LAMBDA { return loop.stride[k][last] == stride; };
  if constexpr (!__is_same(Op, Power)) {  // whose code is long, and gains nothing
    if (is(0, kItem) && ((is(1, 0) && is(2, kItem)) || (is(1, kItem) && is(2, 0)))) {
      return rows_with_number<T, Op>(loop);
    }
  }
  loop.run_dense([](int64_t n, char* const* p) {
    auto* y = reinterpret_cast<T*>(p[0]);
    auto* a = reinterpret_cast<const T*>(p[1]);
    auto* b = reinterpret_cast<const T*>(p[2]);
    for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
      Op::of(Vec<T>::load(a + i, lanes), Vec<T>::load(b + i, lanes)).store(y + i, lanes);
    });
  });
}

// Integer arithmetic wraps, as in NumPy; bool becomes 0 or 1.
template <class T, class Op>
void integers(const BinaryArgs& args) {
  Loop<3> loop({&args.y, &args.a, &args.b});
  bool boolean = args.y.dtype == DType::Bool;
  loop.map([boolean](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> y(p[0], stride[0]), a(p[1], stride[1]), b(p[2], stride[2]);
    for (int64_t i = 0; i < n; ++i) {
      auto r = Op::of(static_cast<int64_t>(a[i]), static_cast<int64_t>(b[i]));
      y[i] = boolean ? static_cast<T>(r != 0) : static_cast<T>(r);
    }
  });
}

struct WrapAdd {
  static RV_ALWAYS_INLINE int64_t of(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
};
struct WrapSubtract {
  static RV_ALWAYS_INLINE int64_t of(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  }
};
struct WrapMultiply {
  static RV_ALWAYS_INLINE int64_t of(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};

template <class Op, class IntegerOp>
void by_dtype(const BinaryArgs& args) {
  switch (args.y.dtype) {
    case DType::Float32:
      return floats<float, Op>(args);
    case DType::Float64:
      return floats<double, Op>(args);
    case DType::Int64:
      return integers<int64_t, IntegerOp>(args);
    case DType::Int32:
      return integers<int32_t, IntegerOp>(args);
    default:
      return integers<uint8_t, IntegerOp>(args);
  }
}

}  // namespace

void binary(const BinaryArgs& args) {
  switch (args.op) {
    case BinaryOp::Add:
      return by_dtype<Add, WrapAdd>(args);
    case BinaryOp::Subtract:
      return by_dtype<Subtract, WrapSubtract>(args);
    case BinaryOp::Multiply:
      return by_dtype<Multiply, WrapMultiply>(args);
    case BinaryOp::Divide:
      return args.y.dtype == DType::Float64 ? floats<double, Divide>(args)
                                            : floats<float, Divide>(args);
    case BinaryOp::Power:
      return by_dtype<Power, Power>(args);
    case BinaryOp::Maximum:
      return by_dtype<Maximum, Maximum>(args);
    case BinaryOp::Minimum:
      return by_dtype<Minimum, Minimum>(args);
  }
}

}  // namespace ranvier::RV_ISA
