// Batch, instance and group norm take the sum with a residual and the ReLU that follow into their
// last pass over the image.
#include "core/rewrite.h"
#include "ops/binary.h"
#include "ops/channel_norm_impl.h"
#include "ops/unary.h"

namespace ranvier {
namespace {

ChannelApplyArgs* norm_at(Rewriter& r, int i) {
  for (const char* name : {"batch_norm_apply", "instance_norm_apply", "group_norm_apply"})
    if (auto* c = r.match<ChannelApplyArgs>(i, name)) return c;
  return nullptr;
}

// The call that wrote the temporary `a`, if call i alone uses it otherwise; -1 if there is none.
int only_writer(Rewriter& r, const ArrayRef& a, int i) {
  const std::vector<int>& at = r.uses(a);
  return r.temporary(a) && at.size() == 2 && at[1] == i ? at[0] : -1;
}

// Whether what the norm at i reads is still there at j.
bool movable(Rewriter& r, int i, int j) {
  bool ok = true;
  r.for_each_ref(i, [&](const ArrayRef& a) {
    ok &= !r.written_between(a, i, j);
    if (a.access != Access::In) ok &= !r.used_between(a, i, j);
  });
  return ok;
}

// The norm whose result a ReLU or a sum at call i reads, if nobody else needs it and it can run at
// i.
int norm_before(Rewriter& r, const ArrayRef& input, const ArrayRef& output, int i) {
  const int at = only_writer(r, input, i);
  if (at < 0) return -1;
  ChannelApplyArgs* norm = norm_at(r, at);
  if (!norm || norm->y.storage != input.storage || norm->relu) return -1;
  return same_layout(norm->y, output) && same_layout(norm->y, input) &&
                 norm->y.offset == input.offset && movable(r, at, i)
             ? at
             : -1;
}

void move_into(Rewriter& r, int norm, int i, const ArrayRef& output, const In* residual,
               bool relu) {
  ChannelApplyArgs args = *norm_at(r, norm);
  static_cast<ArrayRef&>(args.y) = output;
  if (residual) args.residual = *residual;
  args.relu = relu;
  const KernelBase* kernel = r.kernel(norm);
  r.erase(norm);
  r.replace(i, kernel, args);
}

RV_REWRITE(norm_relu, 2, [](Rewriter& r) {
  int count = 0;
  for (int i = 0; i < r.size(); ++i) {
    if (auto* sum = r.match<BinaryArgs>(i, "binary"); sum && sum->op == BinaryOp::Add) {
      // Worth it only where a ReLU follows: it reads the sum and nobody else does.
      const BinaryArgs add = *sum;
      if (!r.temporary(add.y) || r.uses(add.y).size() != 2) continue;
      auto* relu = r.match<UnaryArgs>(r.uses(add.y)[1], "unary");
      if (!relu || relu->op != UnaryOp::Relu) continue;
      for (auto [mine, other] : {std::pair{&add.a, &add.b}, std::pair{&add.b, &add.a}}) {
        const int norm = norm_before(r, *mine, add.y, i);
        if (norm < 0 || norm_at(r, norm)->residual.storage || !same_layout(*other, add.y)) continue;
        move_into(r, norm, i, add.y, other, false);
        ++count;
        break;
      }
    }
    if (auto* relu = r.match<UnaryArgs>(i, "unary"); relu && relu->op == UnaryOp::Relu) {
      const UnaryArgs unary = *relu;
      const int norm = norm_before(r, unary.x, unary.y, i);
      if (norm < 0) continue;
      move_into(r, norm, i, unary.y, nullptr, true);
      ++count;
    }
  }
  return count;
});

}  // namespace
}  // namespace ranvier
