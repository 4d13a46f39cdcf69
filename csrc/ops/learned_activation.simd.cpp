#include "ops/learned_activation.h"

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

// The value of each function, and what the gradient g becomes by x and by w. NaN goes through all.
struct PRelu {
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> of(Vec<T> x, Vec<T> w) {
    return select(x > Vec<T>::zero(), x, x * w);
  }
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> by_x(Vec<T> g, Vec<T> x, Vec<T> w) {
    return select(x > Vec<T>::zero(), g, g * w);
  }
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> by_w(Vec<T> g, Vec<T> x, Vec<T>) {
    return select(x > Vec<T>::zero(), Vec<T>::zero(), g * x);
  }
};
struct Swish {
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> of(Vec<T> x, Vec<T> w) {
    return x * sigmoid(x * w);
  }
  // x s (1 - s), which is 0 where s is 0 or 1, however large x.
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> bend(Vec<T> x, Vec<T> s) {
    return s * (Vec<T>(T(1)) - s) * x;
  }
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> by_x(Vec<T> g, Vec<T> x, Vec<T> w) {
    const Vec<T> s = sigmoid(x * w);
    return g * fma(bend(x, s), w, s);
  }
  template <class T>
  static RV_ALWAYS_INLINE Vec<T> by_w(Vec<T> g, Vec<T> x, Vec<T> w) {
    return g * (bend(x, sigmoid(x * w)) * x);
  }
};

template <class T>
using Values = void (*)(int64_t n, const T* x, const T* w, T* y);
template <class T>
using Gradients = void (*)(int64_t n, const T* g, const T* x, const T* w, T* dx);

template <class T, class F>
void values(int64_t n, const T* x, const T* w, T* y) {
  for (int64_t i = 0; i < n; i += Vec<T>::N)
    F::template of<T>(Vec<T>::load(x + i), Vec<T>::load(w + i)).store(y + i);
}
template <class T, class F>
void by_x(int64_t n, const T* g, const T* x, const T* w, T* dx) {
  for (int64_t i = 0; i < n; i += Vec<T>::N)
    F::template by_x<T>(Vec<T>::load(g + i), Vec<T>::load(x + i), Vec<T>::load(w + i))
        .store(dx + i);
}
template <class T, class F>
void by_w(int64_t n, const T* g, const T* x, const T* w, T* dx) {
  for (int64_t i = 0; i < n; i += Vec<T>::N)
    F::template by_w<T>(Vec<T>::load(g + i), Vec<T>::load(x + i), Vec<T>::load(w + i))
        .store(dx + i);
}

template <class T>
void forward(const LearnedActivationArgs& args) {
  const Values<T> function = args.op == LearnedOp::Swish ? values<T, Swish> : values<T, PRelu>;
  Loop<3>({&args.y, &args.x, &args.w}).run_dense<true>([&](int64_t n, char* const* p) {
    function(n, reinterpret_cast<const T*>(p[1]), reinterpret_cast<const T*>(p[2]),
             reinterpret_cast<T*>(p[0]));
  });
}

template <class T>
void backward(const LearnedActivationBackwardArgs& args) {
  const bool swish = args.op == LearnedOp::Swish;
  const Gradients<T> x = swish ? by_x<T, Swish> : by_x<T, PRelu>;
  const Gradients<T> w = swish ? by_w<T, Swish> : by_w<T, PRelu>;
  const Gradients<T> function = args.by_parameter ? w : x;
  Loop<4>({&args.dx, &args.grad, &args.x, &args.w}).run_dense<true>([&](int64_t n, char* const* p) {
    function(n, reinterpret_cast<const T*>(p[1]), reinterpret_cast<const T*>(p[2]),
             reinterpret_cast<const T*>(p[3]), reinterpret_cast<T*>(p[0]));
  });
}

}  // namespace

void learned_activation(const LearnedActivationArgs& args) {
  args.y.dtype == DType::Float64 ? forward<double>(args) : forward<float>(args);
}

void learned_activation_backward(const LearnedActivationBackwardArgs& args) {
  args.dx.dtype == DType::Float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace ranvier::RV_ISA
