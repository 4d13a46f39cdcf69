#include "ops/norm.h"

#include "cuda/core/elementwise.h"

namespace ranvier {
namespace {

// A thread per distance. Sums are float64, so squares neither overflow nor vanish.
template <class T>
struct Distance {
  const T *a, *b;
  T* y;
  int64_t rows, columns, size;
  __device__ void operator()(int64_t e) const {
    const int64_t j = e % columns, row = e / columns, batch = row / rows;
    const T *x = a + row * size, *z = b + (batch * columns + j) * size;
    double sum = 0;
    for (int64_t k = 0; k < size; ++k) {
      const double d = static_cast<double>(x[k]) - static_cast<double>(z[k]);
      sum = fma(d, d, sum);
    }
    y[e] = static_cast<T>(sqrt(sum));
  }
};

template <class T>
void distances(const CdistArgs& a, const Context& c) {
  each_index(c, element_count(a.y),
             Distance<T>{device_data<T>(a.a), device_data<T>(a.b), device_data<T>(a.y),
                         a.y.shape[1], a.y.shape[2], a.a.shape[2]});
}
void cdist(const CdistArgs& a, const Context& c) {
  a.y.dtype == DType::Float64 ? distances<double>(a, c) : distances<float>(a, c);
}
RV_DEVICE_KERNEL(cdist, CdistArgs, cdist);

// A thread per number of da.
template <class T>
struct Difference {
  const T *share, *a, *b;
  T* da;
  int64_t rows, columns, size, batch_step, row_step, step;
  __device__ void operator()(int64_t e) const {
    const int64_t k = e % size, row = e / size, batch = row / rows;
    const T* s = share + batch * batch_step + row % rows * row_step;
    const T* z = b + batch * columns * size + k;
    const double x = static_cast<double>(a[e]);
    double sum = 0;
    for (int64_t j = 0; j < columns; ++j)
      sum = fma(static_cast<double>(s[j * step]), x - static_cast<double>(z[j * size]), sum);
    da[e] = static_cast<T>(sum);
  }
};

template <class T>
void gradients(const CdistGradArgs& a, const Context& c) {
  each_index(c, element_count(a.da),
             Difference<T>{device_data<T>(a.share), device_data<T>(a.a), device_data<T>(a.b),
                           device_data<T>(a.da), a.a.shape[1], a.b.shape[1], a.a.shape[2],
                           a.share.strides[0], a.share.strides[1], a.share.strides[2]});
}
void cdist_grad(const CdistGradArgs& a, const Context& c) {
  a.da.dtype == DType::Float64 ? gradients<double>(a, c) : gradients<float>(a, c);
}
RV_DEVICE_KERNEL(cdist_grad, CdistGradArgs, cdist_grad);

}  // namespace
}  // namespace ranvier
