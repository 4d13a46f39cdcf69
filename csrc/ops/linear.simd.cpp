#include "ops/linear.h"

#include "ops/gemm_impl.h"

namespace ranvier::RV_ISA {
namespace {

template <class T>
gemm::Matrix<T> matrix(const ArrayRef& x) {
  return {data<T>(x), x.strides[0], x.strides[1]};
}

template <class T>
gemm::Matrix<T> transposed(const ArrayRef& x) {
  return {data<T>(x), x.strides[1], x.strides[0]};
}

template <class T>
void forward(const LinearArgs& args) {
  const int64_t m = args.y.shape[0], n = args.y.shape[1], k = args.x.shape[1];
  const T* const bias = args.bias.storage ? data<T>(args.bias) : nullptr;
  gemm::product<T>(m, n, k, matrix<T>(args.x), transposed<T>(args.weight),
                   gemm::Output<T>{data<T>(args.y), n, false, bias, args.relu});
}

template <class T>
void grad_input(const LinearGradInputArgs& args) {
  gemm::product<T>(args.dx.shape[0], args.dx.shape[1], args.dy.shape[1], matrix<T>(args.dy),
                   matrix<T>(args.weight), gemm::Output<T>{data<T>(args.dx), args.dx.shape[1]});
}

// db, column by column; runs of 64 samples are summed first, then the runs, both in order.
template <class T>
void sum_rows(const ArrayRef& dy, T* db) {
  constexpr int64_t kRun = 64, kColumns = 256;
  const int64_t m = dy.shape[0], n = dy.shape[1];
  gemm::for_chunks(m * n >= 65536, gemm::ceil_div(n, kColumns), [&](int64_t chunk) {
    const int64_t first = chunk * kColumns, count = gemm::min(kColumns, n - first);
    const T* const from = data<T>(dy) + first * dy.strides[1];
    for_each_vector<T>(count, [&](int64_t i, auto lanes) RV_LAMBDA {
      Vec<T> total = Vec<T>::zero();
      for (int64_t row = 0; row < m; row += kRun) {
        Vec<T> sum = Vec<T>::zero();
        const int64_t end = gemm::min(m, row + kRun);
        if (dy.strides[1] == 1) {
          for (int64_t r = row; r < end; ++r) {
            sum += Vec<T>::load(from + r * dy.strides[0] + i, lanes);
          }
        } else {
          for (int64_t r = row; r < end; ++r) {
            sum += Vec<T>::load_strided(from + r * dy.strides[0] + i * dy.strides[1], dy.strides[1],
                                        gemm::min(Vec<T>::N, count - i));
          }
        }
        total += sum;
      }
      total.store(db + first + i, lanes);
    });
  });
}

template <class T>
void grad_weight(const LinearGradWeightArgs& args) {
  if (args.dweight.storage != nullptr) {
    const int64_t n = args.dweight.shape[1];
    gemm::product<T>(args.dweight.shape[0], n, args.dy.shape[0], transposed<T>(args.dy),
                     matrix<T>(args.x), gemm::Output<T>{data<T>(args.dweight), n});
  }
  if (args.dbias.storage != nullptr) sum_rows(args.dy, data<T>(args.dbias));
}

}  // namespace

void linear(const LinearArgs& args) {
  return args.y.dtype == DType::Float32 ? forward<float>(args) : forward<double>(args);
}

void linear_grad_input(const LinearGradInputArgs& args) {
  return args.dx.dtype == DType::Float32 ? grad_input<float>(args) : grad_input<double>(args);
}

void linear_grad_weight(const LinearGradWeightArgs& args) {
  return args.dy.dtype == DType::Float32 ? grad_weight<float>(args) : grad_weight<double>(args);
}

}  // namespace ranvier::RV_ISA
