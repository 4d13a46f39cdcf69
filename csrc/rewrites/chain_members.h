// Which pointwise calls of a captured step may run as one: for `chains` and `device_chains`.
#pragma once

#include <algorithm>
#include <vector>

#include "core/rewrite.h"

namespace ranvier {

constexpr int kLookAhead = 32;  // calls between two members of a chain

// The one output of pointwise call i.
inline const ArrayRef& chain_output(Rewriter& r, int i) {
  auto* refs = static_cast<const ArrayRef*>(r.args(i));
  int k = 0;
  while (refs[k].access != Access::Out) ++k;
  return refs[k];
}

inline bool same_shape(const ArrayRef& a, const ArrayRef& b) {
  return a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape);
}

// A buffer that a member writes is seen by all members as the same array: so what one writes of it
// is what another reads. And call j shares a buffer with a member.
inline bool agree(Rewriter& r, const std::vector<int>& members, int j) {
  bool ok = true, shares = false;
  for (int i : members)
    r.for_each_ref(i, [&](const ArrayRef& a) {
      r.for_each_ref(j, [&](const ArrayRef& b) {
        if (a.storage != b.storage) return;
        shares = true;
        if (a.access == Access::In && b.access == Access::In) return;
        ok &= same_layout(a, b) && a.offset == b.offset;
      });
    });
  return ok && shares;
}

// Call j may run where the chain runs: no call that stays in between writes what it touches or
// touches what it writes. Arrays for which `known` holds are at hand in the chain.
template <class Known>
bool movable(Rewriter& r, const std::vector<int>& members, int j, const Known& known) {
  bool ok = true;
  r.for_each_ref(j, [&](const ArrayRef& b) {
    if (known(b)) return;
    for (int k : r.uses(b)) {
      if (k <= members.front() || k >= j) continue;
      if (std::find(members.begin(), members.end(), k) != members.end()) continue;
      r.for_each_ref(k, [&](const ArrayRef& a) {
        if (a.storage == b.storage && (a.access != Access::In || b.access != Access::In))
          ok = false;
      });
    }
  });
  return ok;
}

}  // namespace ranvier
