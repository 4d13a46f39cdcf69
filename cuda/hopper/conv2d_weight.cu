// The weight gradient of a convolution by products of warp groups; operands are those of
// cuda/ops/conv2d_weight.cu.
#include "cuda/core/hopper_tiles.h"
#include "cuda/ops/conv2d_impl.h"

namespace ranvier::convolution {

template <class T>
void hopper_gradient(const Context& c, const gemm::Size& size, const gemm::Matrix<T>& left,
                     const ShiftedPixels<T>& right, const FilterGradient<T>& out) {
  hopper::gather_product<kFactorOf<T>>(c, size, left, right, out);
}

#define RV_OF_TYPE(T)                                                                      \
  template void hopper_gradient(const Context&, const gemm::Size&, const gemm::Matrix<T>&, \
                                const ShiftedPixels<T>&, const FilterGradient<T>&)
RV_OF_TYPE(float);
RV_OF_TYPE(BFloat16);
RV_OF_TYPE(Float16);
#undef RV_OF_TYPE

}  // namespace ranvier::convolution
