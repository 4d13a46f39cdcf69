// Pointwise calls that feed each other run together, a tile at a time: what one writes is still in
// the cache when the next reads it. Each call does on a tile what it does on the whole.
#include <algorithm>
#include <cstdlib>

#include "rewrites/chain_members.h"

namespace ranvier {
namespace {

constexpr int64_t kTileBytes = 1 << 16;   // of each operand
constexpr int64_t kWorthBytes = 1 << 17;  // smaller arrays stay in the cache by themselves

int64_t elements(const ArrayRef& a) {
  int64_t n = 1;
  for (int i = 0; i < a.ndim; ++i) n *= a.shape[i];
  return n;
}

bool candidate(Rewriter& r, int i) {
  const KernelBase* k = r.kernel(i);
  return k && k->pointwise && k->bytes <= kMostPointwiseBytes &&
         chain_output(r, i).device == DeviceKind::Cpu;
}

Chain tiles_of(const ArrayRef& out) {
  Chain c{};
  c.ndim = out.ndim;
  for (int i = 0; i < out.ndim; ++i) {
    c.shape[i] = out.shape[i];
    c.order[i] = i;
  }
  std::stable_sort(c.order, c.order + c.ndim, [&](int a, int b) {
    if ((out.shape[a] == 1) != (out.shape[b] == 1)) return out.shape[b] == 1;
    return std::abs(out.strides[a]) > std::abs(out.strides[b]);
  });
  int64_t inner = elements(out) * item_size(out.dtype);
  c.tiles = 1;
  for (c.outer = 0;; ++c.outer) {
    const int64_t size = c.shape[c.order[c.outer]];
    inner /= size;
    if (inner <= kTileBytes / 2 || c.outer == c.ndim - 1) {
      c.step = std::min(size, std::max<int64_t>(1, kTileBytes / inner));
      c.tiles *= (size + c.step - 1) / c.step;
      return c;
    }
    c.tiles *= size;
  }
}

RV_REWRITE(chains, 9, [](Rewriter& r) {
  int count = 0;
  for (int i = 0; i < r.size(); ++i) {
    if (!candidate(r, i)) continue;
    const ArrayRef out = chain_output(r, i);
    if (out.ndim == 0 || elements(out) * item_size(out.dtype) < kWorthBytes) continue;
    std::vector<int> members{i};
    for (int j = i + 1; j < r.size() && j <= members.back() + kLookAhead; ++j)
      if (candidate(r, j) && same_shape(chain_output(r, j), out) && agree(r, members, j) &&
          movable(r, members, j, [](const ArrayRef&) { return false; }))
        members.push_back(j);
    if (members.size() < 2) continue;
    r.make_chain(members, tiles_of(out));
    ++count;
  }
  return count;
});

}  // namespace
}  // namespace ranvier
