// Products of matrices whose rows lie along the sum: see hopper_ring.h.
#include "cuda/core/hopper_ring.h"

namespace ranvier::hopper {
namespace {

template <Factor kFactor>
struct Rows {
  TensorMap left, right;
  struct At {
    int i, j;
  };
  __device__ At at(int i, int j) const { return {i, j}; }
  template <class Tile>
  __device__ void bring(Tile& tile, int to_left, int to_right, int full, const At& at,
                        int step) const {
    constexpr int kDepth = 128 / static_cast<int>(sizeof(typename FactorType<kFactor>::T));
    bulk_load(tile, to_left, left, full, step * kDepth, at.i);
    bulk_load(tile, to_right, right, full, step * kDepth, at.j);
  }
};

template <Factor kFactor>
void run(const Context& c, const Product& p) {
  using T = typename FactorType<kFactor>::T;
  const auto map = [&](const void* data, int64_t rows, int64_t stride, int box_rows) {
    return encoded(c, MatrixMap{data, rows, p.depth, stride, box_rows, kFactor, Swizzle::Bytes128});
  };
  const gemm::RowMajor<T> out{static_cast<T*>(p.out),        p.m,           p.n,
                              static_cast<const T*>(p.bias), p.bias_stride, p.relu};
  const auto factors = [&](int columns) {
    return Rows<kFactor>{map(p.left, p.m, p.left_stride, kRingRows),
                         map(p.right, p.n, p.right_stride, columns)};
  };
  constexpr int64_t kDepth = 128 / static_cast<int64_t>(sizeof(T));
  ring_product<kFactor>(c, factors, out, p.m, p.n, divide_up(p.depth, kDepth));
}

}  // namespace

void multiply(const Context& c, Factor factor, const Product& p) {
  switch (factor) {
    case Factor::BFloat16:
      return run<Factor::BFloat16>(c, p);
    case Factor::Float16:
      return run<Factor::Float16>(c, p);
    default:
      return run<Factor::Tf32>(c, p);
  }
}

}  // namespace ranvier::hopper
