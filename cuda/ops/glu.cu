#include "ops/glu.h"

#include "cuda/core/elementwise.h"
#include "cuda/core/functions.h"

namespace ranvier {
namespace {

template <class T>
struct Glu {
  T* y;
  const T *a, *b;
  __device__ void operator()(const int64_t (&at)[3]) const {
    y[at[0]] = a[at[1]] * logistic(b[at[2]]);
  }
};
template <class T>
struct GluBackward {
  T *da, *db;
  const T *grad, *a, *b;
  __device__ void operator()(const int64_t (&at)[5]) const {
    const T g = grad[at[2]], s = logistic(b[at[4]]);
    da[at[0]] = g * s;
    db[at[1]] = g * a[at[3]] * (s * (T(1) - s));
  }
};

template <class T>
void values(const GluArgs& a, const Context& c) {
  each<3>(c, {&a.y, &a.a, &a.b},
          Glu<T>{device_data<T>(a.y), device_data<T>(a.a), device_data<T>(a.b)});
}
void glu(const GluArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? values<double>(a, c) : values<float>(a, c);
}
RV_DEVICE_KERNEL(glu, GluArgs, glu);

template <class T>
void gradients(const GluBackwardArgs& a, const Context& c) {
  each<5>(c, {&a.da, &a.db, &a.grad, &a.a, &a.b},
          GluBackward<T>{device_data<T>(a.da), device_data<T>(a.db), device_data<T>(a.grad),
                         device_data<T>(a.a), device_data<T>(a.b)});
}
void glu_backward(const GluBackwardArgs& a, const Context& c) {
  a.da.dtype == DType::Float64 ? gradients<double>(a, c) : gradients<float>(a, c);
}
RV_DEVICE_KERNEL(glu_backward, GluBackwardArgs, glu_backward);

}  // namespace
}  // namespace ranvier
