// Products of matrices whose rows do not lie along the sum, or several at once, or with a long sum
// that is cut into pieces: what gemm.cu does not take.
#include "cuda/core/hopper_tiles.h"

namespace ranvier::hopper {

template <class T>
void multiply_gathered(const Context& c, const gemm::Size& size, const gemm::Matrix<T>& left,
                       const gemm::Matrix<T>& right, const gemm::RowMajor<T>& out) {
  gather_product<kFactorOf<T>>(c, size, left, right, out);
}
template void multiply_gathered(const Context&, const gemm::Size&, const gemm::Matrix<float>&,
                                const gemm::Matrix<float>&, const gemm::RowMajor<float>&);
template void multiply_gathered(const Context&, const gemm::Size&, const gemm::Matrix<BFloat16>&,
                                const gemm::Matrix<BFloat16>&, const gemm::RowMajor<BFloat16>&);
template void multiply_gathered(const Context&, const gemm::Size&, const gemm::Matrix<Float16>&,
                                const gemm::Matrix<Float16>&, const gemm::RowMajor<Float16>&);

}  // namespace ranvier::hopper
