#include "ops/matmul.h"

#include "cuda/core/gemm.h"
#include "cuda/core/matrices.h"

namespace ranvier {
namespace {

// Whole numbers wrap, as in NumPy: a thread per element, for there is no hurry.
template <class T>
__global__ void __launch_bounds__(gemm::kThreads)
    integer_kernel(gemm::Matrix<T> a, gemm::Matrix<T> b, T* to, int64_t m, int64_t n, int64_t depth,
                   int64_t count) {
  const int64_t e = int64_t{blockIdx.x} * gemm::kThreads + threadIdx.x;
  if (e >= count) return;
  const int64_t batch = e / (m * n), i = e / n % m, j = e % n;
  const auto left = a.line(batch, i), right = b.line(batch, j);
  uint64_t sum = 0;
  for (int64_t d = 0; d < depth; ++d)
    sum += static_cast<uint64_t>(a.load(left, d)) * static_cast<uint64_t>(b.load(right, d));
  to[e] = static_cast<T>(sum);
}
template <class T>
void integers(const MatmulArgs& args, const Context& c) {
  const int n = args.c.ndim;
  const int64_t count = element_count(args.c);
  if (count == 0) return;
  launch(c, static_cast<unsigned>(divide_up(count, gemm::kThreads)), gemm::kThreads,
         integer_kernel<T>, gemm::matrix<T>(args.a, n - 2, n - 1),
         gemm::matrix<T>(args.b, n - 1, n - 2), device_data<T>(args.c), args.c.shape[n - 2],
         args.c.shape[n - 1], args.a.shape[n - 1], count);
}

void matmul(const MatmulArgs& args, const Context& c) {
  const int n = args.c.ndim;
  switch (args.c.dtype) {
    case DType::Int64:
      return integers<int64_t>(args, c);
    case DType::Int32:
      return integers<int32_t>(args, c);
    case DType::UInt8:
      return integers<uint8_t>(args, c);
    default:
      return multiply_matrices(c, args.precision, {args.a, n - 2, n - 1}, {args.b, n - 1, n - 2},
                               args.c);
  }
}
RV_DEVICE_KERNEL(matmul, MatmulArgs, matmul);

}  // namespace
}  // namespace ranvier
