// After a single sample the gradient of a linear layer's weight is the outer product of two
// vectors. Where only the optimizer reads it, it is never written out: the step multiplies as it
// goes.
#include "core/rewrite.h"
#include "ops/adadelta.h"
#include "ops/adagrad.h"
#include "ops/adam.h"
#include "ops/linear.h"
#include "ops/rmsprop.h"
#include "ops/sgd.h"

namespace ranvier {
namespace {

bool row_major(const ArrayRef& a, int64_t rows, int64_t columns) {
  return a.ndim == 2 && a.shape[0] == rows && a.shape[1] == columns &&
         (columns == 1 || a.strides[1] == 1) && (rows == 1 || a.strides[0] == columns);
}

ArrayRef vector_of(const ArrayRef& a, int axis) {
  ArrayRef v = a;
  v.ndim = 1;
  v.shape[0] = a.shape[axis];
  v.strides[0] = a.shape[axis] == 1 ? 1 : a.strides[axis];
  return v;
}

// The call that made gradient g from one sample, if the step at i is its only reader and finds the
// two vectors unchanged, which it must not change itself: a learned input is such a vector. -1 if
// there is none.
int outer_product(Rewriter& r, const ArrayRef& g, int i) {
  if (!r.temporary(g) || g.device != DeviceKind::Cpu) return -1;
  const std::vector<int>& at = r.uses(g);
  if (at.size() != 2 || at[1] != i) return -1;
  const auto* made = r.match<LinearGradWeightArgs>(at[0], "linear_grad_weight");
  if (!made || made->dweight.storage != g.storage || made->dweight.offset != g.offset) return -1;
  const ArrayRef &dy = made->dy, &x = made->x;
  if (dy.shape[0] != 1 || (x.shape[1] > 1 && x.strides[1] != 1)) return -1;
  if (!row_major(g, dy.shape[1], x.shape[1])) return -1;
  return r.written_between(dy, at[0], i + 1) || r.written_between(x, at[0], i + 1) ? -1 : at[0];
}

// Arrays of each parameter that must lie as its gradient does.
std::vector<Span> companions(const AdadeltaArgs& a) { return {a.params, a.squares, a.updates}; }
std::vector<Span> companions(const AdagradArgs& a) { return {a.params, a.sums}; }
std::vector<Span> companions(const AdamArgs& a) { return {a.params, a.first, a.second}; }
std::vector<Span> companions(const RmspropArgs& a) {
  return {a.params, a.squares, a.buffers, a.means};
}
std::vector<Span> companions(const SgdArgs& a) { return {a.params, a.buffers}; }

template <class Args>
int rewrite_step(Rewriter& r, int i, const char* kernel) {
  const auto* step = r.match<Args>(i, kernel);
  if (!step || step->rows.count) return 0;
  Args args = *step;
  const int64_t n = args.grads.count;
  std::vector<ArrayRef> grads(args.grads.items, args.grads.items + n), rows(n), columns(n);
  int count = 0;
  for (int64_t k = 0; k < n; ++k) {
    const ArrayRef g = grads[k];
    const int from = outer_product(r, g, i);
    if (from < 0) continue;
    bool alike = true;
    for (const Span& s : companions(args))
      if (s.count) alike &= row_major(s.items[k], g.shape[0], g.shape[1]);
    if (!alike) continue;
    LinearGradWeightArgs made = *r.match<LinearGradWeightArgs>(from, "linear_grad_weight");
    rows[k] = vector_of(made.dy, 1);
    columns[k] = vector_of(made.x, 1);
    grads[k] = ArrayRef{};
    static_cast<ArrayRef&>(made.x) = static_cast<ArrayRef&>(made.dweight) = ArrayRef{};
    const KernelBase* product = r.kernel(from);
    if (made.dbias.storage)
      r.replace(from, product, made);
    else
      r.erase(from);
    ++count;
  }
  if (count == 0) return 0;
  args.grads = r.keep(grads);
  args.rows = r.keep(rows);
  args.columns = r.keep(columns);
  const KernelBase* optimizer = r.kernel(i);
  r.replace(i, optimizer, args);
  return count;
}

RV_REWRITE(outer_gradients, 3, [](Rewriter& r) {
  int count = 0;
  for (int i = 0; i < r.size(); ++i)
    count += rewrite_step<AdadeltaArgs>(r, i, "adadelta_step") +
             rewrite_step<AdagradArgs>(r, i, "adagrad_step") +
             rewrite_step<AdamArgs>(r, i, "adam_step") +
             rewrite_step<RmspropArgs>(r, i, "rmsprop_step") +
             rewrite_step<SgdArgs>(r, i, "sgd_step");
  return count;
});

}  // namespace
}  // namespace ranvier
