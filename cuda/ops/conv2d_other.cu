// The products of conv2d.cu in the types that are not float32: a file of their own, which compiles
// beside it.
#include "cuda/ops/conv2d_product_impl.h"

namespace ranvier::convolution {

#define RV_OF_TYPE(T)                                                                 \
  template void filter_product(const Context&, Precision, int64_t, const Patches<T>&, \
                               const Filters<T>&, const Pixels<T>&)
RV_OF_TYPE(double);
RV_OF_TYPE(BFloat16);
RV_OF_TYPE(Float16);
#undef RV_OF_TYPE

}  // namespace ranvier::convolution
