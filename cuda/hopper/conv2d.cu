// A convolution and its data gradient by products of warp groups; operands and packing are those of
// cuda/ops/conv2d.cu. The weight gradient is in conv2d_weight.cu.
#include "cuda/core/hopper_tiles.h"
#include "cuda/ops/conv2d_impl.h"

namespace ranvier::convolution {

template <class T>
void hopper_product(const Context& c, const gemm::Size& size, const Patches<T>& left,
                    const gemm::Matrix<T>& filters, const Pixels<T>& out) {
  hopper::gather_product<kFactorOf<T>>(c, size, left, filters, out);
}

#define RV_OF_TYPE(T)                                                                \
  template void hopper_product(const Context&, const gemm::Size&, const Patches<T>&, \
                               const gemm::Matrix<T>&, const Pixels<T>&)
RV_OF_TYPE(float);
RV_OF_TYPE(BFloat16);
RV_OF_TYPE(Float16);
#undef RV_OF_TYPE

}  // namespace ranvier::convolution
