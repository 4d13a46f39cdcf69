// Convolution and linear layers take the ReLU that follows into the pass that stores their sums.
#include "core/rewrite.h"
#include "ops/conv2d.h"
#include "ops/linear.h"
#include "ops/unary.h"

namespace ranvier {
namespace {

// Row-major, every element: only their number says what such an array is.
bool row_major(const ArrayRef& a, int64_t* elements) {
  *elements = 1;
  for (int i = a.ndim - 1; i >= 0; --i) {
    if (a.shape[i] > 1 && a.strides[i] != *elements) return false;
    *elements *= a.shape[i];
  }
  return true;
}

// A linear layer sees (rows, K) what the ReLU sees as (..., K).
bool same_elements(const ArrayRef& a, const ArrayRef& b) {
  int64_t m, n;
  return same_layout(a, b) ||
         (a.dtype == b.dtype && row_major(a, &m) && row_major(b, &n) && m == n);
}

// The product at `from` writes what the ReLU at i would have written. `y` and `relu` are its own.
template <class Args>
bool absorb(Rewriter& r, int from, int i, const char* kernel) {
  auto* product = r.match<Args>(from, kernel);
  if (!product || product->relu) return false;
  const UnaryArgs unary = *r.match<UnaryArgs>(i, "unary");
  if (product->y.storage != unary.x.storage || product->y.offset != unary.x.offset) return false;
  if (!same_elements(product->y, unary.x) || !same_layout(unary.x, unary.y)) return false;
  if (r.used_between(unary.y, from, i)) return false;
  Args args = *product;
  args.y.storage = unary.y.storage;
  args.y.offset = unary.y.offset;
  args.relu = true;
  const KernelBase* k = r.kernel(from);
  r.erase(i);
  r.replace(from, k, args);
  return true;
}

RV_REWRITE(product_relu, 2, [](Rewriter& r) {
  int count = 0;
  for (int i = 0; i < r.size(); ++i) {
    auto* relu = r.match<UnaryArgs>(i, "unary");
    if (!relu || relu->op != UnaryOp::Relu || !r.temporary(relu->x)) continue;
    const std::vector<int> at = r.uses(relu->x);  // the product and the ReLU, nobody else
    if (at.size() != 2 || at[1] != i) continue;
    count += absorb<LinearArgs>(r, at[0], i, "linear") || absorb<Conv2dArgs>(r, at[0], i, "conv2d");
  }
  return count;
});

}  // namespace
}  // namespace ranvier
