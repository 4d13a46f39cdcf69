#include "ops/softmax.h"

#include "ops/softmax_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
void rows(const SoftmaxArgs& args) {
  int64_t length = args.x.shape[args.x.ndim - 1];
  bool log = args.log;
  ArrayRef x = row_starts(args.x), y = row_starts(args.y);
  Loop<2>({&y, &x}).run(
      [=](int64_t n, char* const* p, const int64_t* stride) {
        for (int64_t r = 0; r < n; ++r) {
          T* y = reinterpret_cast<T*>(p[0] + r * stride[0]);
          const T* x = reinterpret_cast<const T*>(p[1] + r * stride[1]);
          T shift = row_max(x, length);
          T sum = row_exp_sum(x, shift, log ? nullptr : y, length);
          if (log) {
            Vec<T> s(shift), l = ranvier::RV_ISA::log(Vec<T>(sum));
            for_each_vector<T>(length, [&](int64_t i, auto lanes) RV_LAMBDA {
              (Vec<T>::load(x + i, lanes) - s - l).store(y + i, lanes);
            });
          } else {
            Vec<T> s(sum);
            for_each_vector<T>(length, [&](int64_t i, auto lanes) RV_LAMBDA {
              (Vec<T>::load(y + i, lanes) / s).store(y + i, lanes);
            });
          }
        }
      },
      rows_per_chunk(length));
}

template <class T>
void rows_grad(const SoftmaxGradArgs& args) {
  int64_t length = args.y.shape[args.y.ndim - 1];
  bool log = args.log;
  ArrayRef dx = row_starts(args.dx), dy = row_starts(args.dy), y = row_starts(args.y);
  Loop<3>({&dx, &dy, &y})
      .run(
          [=](int64_t n, char* const* p, const int64_t* stride) {
            using V = Vec<T>;
            for (int64_t r = 0; r < n; ++r) {
              T* dx = reinterpret_cast<T*>(p[0] + r * stride[0]);
              const T* g = reinterpret_cast<const T*>(p[1] + r * stride[1]);
              const T* y = reinterpret_cast<const T*>(p[2] + r * stride[2]);
              V dot = V::zero();
              for_each_vector<T>(length, [&](int64_t i, auto lanes) RV_LAMBDA {
                V v = V::load(g + i, lanes);
                dot += log ? v : v * V::load(y + i, lanes);
              });
              V s(reduce_add(dot));
              for_each_vector<T>(length, [&](int64_t i, auto lanes) RV_LAMBDA {
                V v = V::load(g + i, lanes), yi = V::load(y + i, lanes);
                (log ? fnma(exp(yi), s, v) : yi * (v - s)).store(dx + i, lanes);
              });
            }
          },
          rows_per_chunk(length));
}

}  // namespace

void softmax(const SoftmaxArgs& args) {
  args.x.dtype == DType::Float64 ? rows<double>(args) : rows<float>(args);
}
void softmax_grad(const SoftmaxGradArgs& args) {
  args.y.dtype == DType::Float64 ? rows_grad<double>(args) : rows_grad<float>(args);
}

}  // namespace ranvier::RV_ISA
