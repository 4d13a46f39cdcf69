// A temporary that is copied whole into a buffer that nobody has used yet is written there at once:
// gradients accumulate without extra passes.
#include "core/rewrite.h"
#include "ops/copy.h"

namespace ranvier {
namespace {

bool droppable(Rewriter& r, int i, const ArrayRef& src, const ArrayRef& dst) {
  if (!same_layout(src, dst) || src.offset != dst.offset || src.storage == dst.storage)
    return false;
  auto bytes = [](const ArrayRef& a) { return static_cast<Storage*>(a.storage)->bytes; };
  if (bytes(src) != bytes(dst) || !r.temporary(src) || r.uses(dst).front() != i) return false;
  // The temporary must be written before it is read: what the host wrote is not ours to move.
  const int first = r.uses(src).front(), last = r.uses(src).back();
  if (first >= i) return false;
  Access access = Access::In;
  bool once = true;
  r.for_each_ref(first, [&](const ArrayRef& a) {
    if (a.storage != src.storage) return;
    once &= access == Access::In;
    access = a.access;
  });
  if (access != Access::Out || !once) return false;
  // Later readers of the temporary must find it unchanged in its new place.
  return !r.written_between(dst, i, last + 1) && !r.written_between(src, i, last + 1);
}

RV_REWRITE(drop_copies, 1, [](Rewriter& r) {
  int count = 0;
  for (int i = 0; i < r.size(); ++i) {
    auto* c = r.match<CopyArgs>(i, "copy");
    if (!c || !c->src.storage || !droppable(r, i, c->src, c->dst)) continue;
    const ArrayRef src = c->src, dst = c->dst;
    r.erase(i);
    r.rename(src, dst);
    ++count;
  }
  return count;
});

}  // namespace
}  // namespace ranvier
