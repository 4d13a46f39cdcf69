#include "ops/glu.h"

#include "core/loops.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void values(const GluArgs& args) {
  Loop<3>({&args.y, &args.a, &args.b}).template run_dense<true>([](int64_t n, char* const* p) {
    auto* y = reinterpret_cast<T*>(p[0]);
    auto *a = reinterpret_cast<const T*>(p[1]), *b = reinterpret_cast<const T*>(p[2]);
    for (int64_t i = 0; i < n; i += Vec<T>::N)
      (Vec<T>::load(a + i) * sigmoid(Vec<T>::load(b + i))).store(y + i);
  });
}

template <class T>
void gradients(const GluBackwardArgs& args) {
  Loop<5> loop({&args.da, &args.db, &args.grad, &args.a, &args.b});
  loop.run([](int64_t n, char* const* p, const int64_t* stride) {
    Row<T> da(p[0], stride[0]), db(p[1], stride[1]);
    Row<T> grad(p[2], stride[2]), a(p[3], stride[3]), b(p[4], stride[4]);
    for_each_vector<T>(n, [&](int64_t i, auto lanes) RV_LAMBDA {
      const Vec<T> g = grad.load(i, lanes), s = sigmoid(b.load(i, lanes));
      da.store(g * s, i, lanes);
      db.store(g * a.load(i, lanes) * (s * (Vec<T>(T(1)) - s)), i, lanes);
    });
  });
}

}  // namespace

void glu(const GluArgs& args) {
  args.y.dtype == DType::Float64 ? values<double>(args) : values<float>(args);
}
void glu_backward(const GluBackwardArgs& args) {
  args.da.dtype == DType::Float64 ? gradients<double>(args) : gradients<float>(args);
}

}  // namespace ranvier::RV_ISA
