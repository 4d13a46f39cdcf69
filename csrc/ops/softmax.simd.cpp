#include "ops/softmax.h"

#include "ops/softmax_impl.h"

namespace ranvier::RV_ISA {
namespace {

// Whether the last axis is dense; elements of a row lie `step` apart.
RV_INLINE bool in_rows(const ArrayRef& y) {
  return y.shape[y.ndim - 1] <= 1 || y.strides[y.ndim - 1] == 1;
}

template <class T>
void columns(const SoftmaxArgs& args) {
  using V = Vec<T>;
  const int64_t length = args.x.shape[args.x.ndim - 1], step = args.x.strides[args.x.ndim - 1];
  const bool log = args.log;
  ArrayRef x = row_starts(args.x), y = row_starts(args.y);
  Loop<2>({&y, &x}).run(
      [=](int64_t n, char* const* p, const int64_t*) {
        ColumnBlock<T> b(length, n);
        b.each(n, [&](int64_t first) RV_LAMBDA {
          T* y = reinterpret_cast<T*>(p[0]) + first;
          b.read(reinterpret_cast<const T*>(p[1]) + first, step);
          b.exponentials([&](int64_t, V d, V e, int64_t) RV_LAMBDA { return log ? d : e; });
          if (log) {
            for (int64_t j = 0; j < b.width; j += V::N) {
              ranvier::RV_ISA::log(V::load(b.sum + j)).store(b.sum + j);
            }
          }
          for (int64_t i = 0; i < length; ++i) {
            for_each_vector<T>(b.width, [&](int64_t j, auto lanes) RV_LAMBDA {
              const V v = V::load(b.block + i * b.pitch + j), s = V::load(b.sum + j);
              (log ? v - s : v / s).store(y + i * step + j, lanes);
            });
          }
        });
      },
      rows_per_chunk(length));
}

template <class T>
void rows(const SoftmaxArgs& args) {
  if (!in_rows(args.y)) return columns<T>(args);
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
void columns_grad(const SoftmaxGradArgs& args) {
  using V = Vec<T>;
  const int64_t length = args.y.shape[args.y.ndim - 1], step = args.y.strides[args.y.ndim - 1];
  const bool log = args.log;
  ArrayRef dx = row_starts(args.dx), dy = row_starts(args.dy), y = row_starts(args.y);
  Loop<3>({&dx, &dy, &y})
      .run(
          [=](int64_t n, char* const* p, const int64_t*) {
            ColumnBlock<T> b(length, n);
            b.each(n, [&](int64_t first) RV_LAMBDA {
              T* dx = reinterpret_cast<T*>(p[0]) + first;
              const T* g = reinterpret_cast<const T*>(p[1]) + first;
              const T* y = reinterpret_cast<const T*>(p[2]) + first;
              for (int64_t i = 0; i < length; ++i) {
                for_each_vector<T>(b.width, [&](int64_t j, auto lanes) RV_LAMBDA {
                  V v = V::load(g + i * step + j, lanes);
                  if (!log) v *= V::load(y + i * step + j, lanes);
                  (i == 0 ? v : V::load(b.sum + j) + v).store(b.sum + j);
                });
              }
              for (int64_t i = 0; i < length; ++i) {
                for_each_vector<T>(b.width, [&](int64_t j, auto lanes) RV_LAMBDA {
                  const V v = V::load(g + i * step + j, lanes), s = V::load(b.sum + j);
                  const V yi = V::load(y + i * step + j, lanes);
                  (log ? fnma(exp(yi), s, v) : yi * (v - s)).store(dx + i * step + j, lanes);
                });
              }
            });
          },
          rows_per_chunk(length));
}

template <class T>
void rows_grad(const SoftmaxGradArgs& args) {
  if (!in_rows(args.y)) return columns_grad<T>(args);
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
