// Pointwise calls on a GPU that feed each other become one launch: each thread carries out all of
// them on elements of its own, and what nobody else reads is never written to memory. The formulas
// are those of the calls, so are the bits. Constants that a kernel of their own put into memory
// become part of the program, and a single number that only the others use is computed by each
// thread anew.
#include <optional>

#include "core/check.h"
#include "ops/binary.h"
#include "ops/chain_impl.h"
#include "ops/clip.h"
#include "ops/copy.h"
#include "ops/unary.h"
#include "ops/where.h"
#include "rewrites/chain_members.h"

namespace ranvier {
namespace {

void on_host(const ChainArgs&) {
  fail("pointwise_chain", ErrorKind::Runtime, "expected arrays on a GPU");
}
RV_PLAIN_KERNEL(pointwise_chain, ChainArgs, on_host);

void set_parameters(ChainStep& step, const UnaryParameters& p) {
  step.p[0] = static_cast<float>(p.a), step.p[1] = static_cast<float>(p.b);
  step.p[2] = static_cast<float>(p.c), step.p[3] = static_cast<float>(p.d);
}

// Call i as a step, without its slots, and its arrays; false where no step does what it does.
bool step_of(Rewriter& r, int i, ChainStep* step, std::vector<ArrayRef>* in) {
  *step = {};
  in->clear();
  if (const auto* a = r.match<UnaryArgs>(i, "unary")) {
    *in = {a->x};
    step->code = ChainCode::Unary;
    step->op = static_cast<uint8_t>(a->op);
    set_parameters(*step, a->parameters);
  } else if (const auto* b = r.match<UnaryBackwardArgs>(i, "unary_backward")) {
    *in = {b->grad, b->saved};
    step->code = ChainCode::UnaryBackward;
    step->op = static_cast<uint8_t>(b->op);
    set_parameters(*step, b->parameters);
  } else if (const auto* o = r.match<BinaryArgs>(i, "binary")) {
    if (o->op == BinaryOp::Power) return false;  // as long as all the others together
    *in = {o->a, o->b};
    step->code = ChainCode::Binary;
    step->op = static_cast<uint8_t>(o->op);
  } else if (const auto* c = r.match<ClipArgs>(i, "clip")) {
    *in = {c->x};
    step->code = ChainCode::Clip;
    step->p[0] = static_cast<float>(c->low), step->p[1] = static_cast<float>(c->high);
  } else if (const auto* d = r.match<ClipBackwardArgs>(i, "clip_backward")) {
    *in = {d->grad, d->x};
    step->code = ChainCode::ClipBackward;
    step->p[0] = static_cast<float>(d->low), step->p[1] = static_cast<float>(d->high);
  } else if (const auto* w = r.match<WhereArgs>(i, "where")) {
    *in = {w->condition, w->a, w->b};
    step->code = ChainCode::Where;
  } else {
    return false;
  }
  return true;
}

bool one_element(const ArrayRef& a) {
  return std::all_of(a.shape, a.shape + a.ndim, [](int64_t n) { return n == 1; });
}

// The call that filled the array with one number, where nothing else ever writes its buffer; -1 if
// there is none.
int fill_of(Rewriter& r, const ArrayRef& ref) {
  if (ref.access != Access::In || !r.temporary(ref) || r.uses(ref).empty()) return -1;
  const int at = r.uses(ref)[0];
  const auto* fill = r.match<FillArgs>(at, "fill_constant");
  if (!fill || fill->y.offset != ref.offset || fill->y.dtype != DType::Float32) return -1;
  if (!same_layout(fill->y, ref) && !(one_element(fill->y) && one_element(ref))) return -1;
  return r.written_between(ref, at, r.size()) ? -1 : at;
}

bool candidate(Rewriter& r, int i) {
  ChainStep step;
  std::vector<ArrayRef> in;
  if (!step_of(r, i, &step, &in)) return false;
  const ArrayRef& out = chain_output(r, i);
  if (out.device != DeviceKind::Cuda || out.dtype != DType::Float32) return false;
  for (size_t k = 0; k < in.size(); ++k) {
    const DType wanted = step.code == ChainCode::Where && k == 0 ? DType::Bool : DType::Float32;
    if (in[k].dtype != wanted || in[k].device_index != out.device_index) return false;
  }
  return true;
}

// The members as a program; nothing where they need more arrays, slots or steps than it has.
class Builder {
 public:
  // `lead` has the shape of what the chain writes.
  Builder(Rewriter& r, const std::vector<int>& members, const ArrayRef& lead)
      : r_(r), members_(members), lead_(lead) {}

  std::optional<ChainArgs> build() {
    ChainArgs args{};
    for (int i : members_) {
      // Operands as values, numbered in the order in which they appear; slots come later.
      ChainStep step;
      std::vector<ArrayRef> in;
      step_of(r_, i, &step, &in);
      int operands[3] = {};
      for (size_t k = 0; k < 3; ++k) {
        operands[k] = k < in.size() ? value_of(in[k], args) : operands[0];
        if (operands[k] < 0) return {};
      }
      if (args.steps == kChainSteps) return {};
      for (int v : operands) values_[v].last = args.steps;
      step.a = static_cast<uint8_t>(operands[0]);
      step.b = static_cast<uint8_t>(operands[1]);
      step.c = static_cast<uint8_t>(operands[2]);
      step.to = add(chain_output(r_, i), Kind::Made, args.steps);
      args.step[args.steps++] = step;
    }
    std::vector<int> writes;
    for (int v = 0; v < static_cast<int>(values_.size()); ++v) {
      if (values_[v].kind == Kind::Read) {
        if (args.reads == kChainArrays) return {};
        args.slot[args.reads++] = static_cast<uint8_t>(v);
        arrays_.push_back(values_[v].ref);
      } else if (values_[v].kind == Kind::Made && latest(values_[v].ref) == v &&
                 missed(values_[v].ref)) {
        if (!same_shape(values_[v].ref, lead_)) return {};
        writes.push_back(v);
        values_[v].last = args.steps;
      }
    }
    if (args.reads + static_cast<int>(writes.size()) > kChainArrays || writes.empty()) return {};
    for (int v : writes) {
      args.slot[arrays_.size()] = static_cast<uint8_t>(v);
      arrays_.push_back(values_[v].ref);
    }
    if (!give_slots(args)) return {};
    return args;
  }
  const std::vector<ArrayRef>& arrays() const { return arrays_; }

 private:
  enum class Kind { Read, Made, Constant };  // from memory, by a member, known
  struct Value {
    ArrayRef ref;
    Kind kind;
    int last;  // step that uses it
    int slot;
  };

  uint8_t add(const ArrayRef& ref, Kind kind, int step) {
    values_.push_back({ref, kind, step, -1});
    return static_cast<uint8_t>(values_.size() - 1);
  }

  // The value that last was put into the array's buffer; -1 if no step has.
  int latest(const ArrayRef& ref) const {
    for (int v = static_cast<int>(values_.size()) - 1; v >= 0; --v)
      if (values_[v].kind == Kind::Made && values_[v].ref.storage == ref.storage) return v;
    return -1;
  }
  // -1 where the program has no room for it.
  int value_of(const ArrayRef& ref, ChainArgs& args) {
    if (const int v = latest(ref); v >= 0) return v;
    for (size_t v = 0; v < values_.size(); ++v)
      if (values_[v].ref.storage == ref.storage && values_[v].ref.offset == ref.offset &&
          same_layout(values_[v].ref, ref))
        return static_cast<int>(v);
    if (const int fill = fill_of(r_, ref); fill >= 0) {
      if (args.steps == kChainSteps) return -1;
      ChainStep step{};
      step.code = ChainCode::Constant;
      step.p[0] = static_cast<float>(r_.match<FillArgs>(fill, "fill_constant")->value);
      step.to = add(ref, Kind::Constant, args.steps);
      args.step[args.steps++] = step;
      return step.to;
    }
    return add(ref, Kind::Read, 0);
  }
  // Whether anybody but the members would miss what is in the array's buffer.
  bool missed(const ArrayRef& ref) const {
    if (!r_.temporary(ref)) return true;
    for (const Value& v : values_)
      if (v.kind == Kind::Read && v.ref.storage == ref.storage) return true;
    for (int i : r_.uses(ref))
      if (std::find(members_.begin(), members_.end(), i) == members_.end()) return true;
    return false;
  }
  // Values become slots, which are free again after the last step that uses them.
  bool give_slots(ChainArgs& args) {
    bool taken[kChainSlots] = {};
    const auto give = [&](int v) {
      int s = 0;
      while (s < kChainSlots && taken[s]) ++s;
      if (s == kChainSlots) return false;
      taken[s] = true;
      values_[v].slot = s;
      return true;
    };
    for (int k = 0; k < args.reads; ++k)
      if (!give(args.slot[k])) return false;
    for (int i = 0; i < args.steps; ++i) {
      ChainStep& step = args.step[i];
      const int to = step.to;
      if (step.code == ChainCode::Constant) {
        if (!give(to)) return false;
        step.to = static_cast<uint8_t>(values_[to].slot);
        continue;
      }
      const int operands[3] = {step.a, step.b, step.c};
      step.a = static_cast<uint8_t>(values_[operands[0]].slot);
      step.b = static_cast<uint8_t>(values_[operands[1]].slot);
      step.c = static_cast<uint8_t>(values_[operands[2]].slot);
      for (int v : operands)
        if (values_[v].last == i) taken[values_[v].slot] = false;
      if (!give(to)) return false;
      step.to = static_cast<uint8_t>(values_[to].slot);
      if (values_[to].last == i) taken[values_[to].slot] = false;  // nobody wants it
    }
    for (size_t k = 0; k < arrays_.size(); ++k)
      args.slot[k] = static_cast<uint8_t>(values_[args.slot[k]].slot);
    return true;
  }

  Rewriter& r_;
  const std::vector<int>& members_;
  const ArrayRef& lead_;
  std::vector<Value> values_;
  std::vector<ArrayRef> arrays_;
};

RV_REWRITE(device_chains, 9, [](Rewriter& r) {
  int count = 0;
  for (int i = 0; i < r.size(); ++i) {
    if (!candidate(r, i)) continue;
    ArrayRef lead = chain_output(r, i);
    std::vector<int> members{i};
    const auto known = [&](const ArrayRef& a) { return fill_of(r, a) >= 0; };
    for (int j = i + 1; j < r.size() && j <= members.back() + kLookAhead; ++j) {
      if (!candidate(r, j)) continue;
      const ArrayRef &out = chain_output(r, j), before = lead;
      if (!same_shape(out, lead) && !one_element(out) && !one_element(lead)) continue;
      if (out.device_index != lead.device_index || !agree(r, members, j) ||
          !movable(r, members, j, known))
        continue;
      members.push_back(j);
      if (one_element(lead)) lead = out;
      if (Builder(r, members, lead).build()) continue;
      lead = before;
      members.pop_back();
      break;
    }
    if (members.size() < 2) continue;
    Builder builder(r, members, lead);
    std::optional<ChainArgs> args = builder.build();
    if (!args) continue;
    args->arrays = r.keep(builder.arrays());
    std::vector<int> fills;
    for (int member : members)
      r.for_each_ref(member, [&](const ArrayRef& a) { fills.push_back(fill_of(r, a)); });
    for (int member : members)
      if (member != i) r.erase(member);
    r.replace(i, &pointwise_chain, *args);
    for (int fill : fills) {
      const auto* filled = fill < 0 ? nullptr : r.match<FillArgs>(fill, "fill_constant");
      if (filled && r.uses(filled->y).size() == 1) r.erase(fill);  // nobody reads it any more
    }
    ++count;
  }
  return count;
});

}  // namespace
}  // namespace ranvier
