// An LSTM over embedded tokens multiplies the rows of the table, not those of every step, with its
// input weights: a sequence has far more places than there are different tokens. The forward keeps
// its bits. Gradients are summed over the places of each token before they are multiplied, and no
// longer after: as before they are within (n + 4 H) eps of the sum of their terms' magnitudes, with
// n places in all and H units.
#include "core/array.h"
#include "core/rewrite.h"
#include "ops/copy.h"
#include "ops/gather_impl.h"
#include "ops/lstm.h"

namespace ranvier {
namespace {

// The zeros that a gradient starts from, written at call i.
bool fills_zero(Rewriter& r, int i, const ArrayRef& to) {
  const auto* fill = r.match<CopyArgs>(i, "copy");
  if (!fill || fill->dst.storage != to.storage || !same_layout(fill->dst, to)) return false;
  const ArrayRef& from = fill->src;
  if (!r.temporary(from) || !from.storage->data) return false;
  for (int a = 0; a < from.ndim; ++a)
    if (from.shape[a] != 1 && from.strides[a] != 0) return false;
  for (int k : r.uses(from))
    if (k != i) return false;  // then the host wrote it, for this call
  const char* const value = static_cast<const char*>(from.storage->data) + from.offset;
  for (int64_t b = 0; b < item_size(from.dtype); ++b)
    if (value[b] != 0) return false;
  return true;
}

// Calls around an LSTM whose input x was looked up: -1 where there are none.
struct Found {
  int lookup = -1, lstm = -1, backward = -1, fill = -1, scatter = -1;
};

// The gradient of x is only scattered into that of the table, which nobody uses before.
bool find_scatter(Rewriter& r, const GatherArgs& lookup, const ArrayRef& dx, Found& at) {
  const std::vector<int> uses = r.uses(dx);
  if (!r.temporary(dx) || uses.size() != 2 || uses[0] != at.backward) return false;
  at.scatter = uses[1];
  const auto* s = r.match<ScatterArgs>(at.scatter, "embedding_backward");
  if (!s || s->y.storage != dx.storage || s->y.offset != dx.offset || !gather::is_dense(s->y) ||
      !s->add || s->indices.count != 1 ||
      s->indices.items[0].storage != lookup.indices.items[0].storage ||
      s->indices.items[0].offset != lookup.indices.items[0].offset || !gather::is_dense(s->x) ||
      !same_layout(s->x, lookup.x)) {
    return false;
  }
  for (int k : r.uses(s->x)) {
    if (k <= at.backward || k >= at.scatter) continue;
    if (at.fill >= 0 || !fills_zero(r, k, s->x) ||
        r.match<CopyArgs>(k, "copy")->dst.offset != s->x.offset) {
      return false;
    }
    at.fill = k;
  }
  return at.fill >= 0;
}

bool find(Rewriter& r, int i, Found& at) {
  const auto* lstm = r.match<LstmArgs>(i, "lstm");
  if (!lstm || lstm->tokens.storage || !r.temporary(lstm->x)) return false;
  if (lstm->x.device != DeviceKind::Cpu) return false;  // whose kernel knows no tokens
  const std::vector<int> uses = r.uses(lstm->x);
  if (uses.size() < 2 || uses.size() > 3 || uses[1] != i) return false;
  at.lookup = uses[0];
  at.lstm = i;
  const auto* lookup = r.match<GatherArgs>(at.lookup, "embedding");
  if (!lookup || lookup->y.storage != lstm->x.storage || lookup->y.offset != lstm->x.offset ||
      !gather::is_dense(lookup->y) || lookup->x.ndim != 2 || !gather::is_dense(lookup->x) ||
      lookup->x.shape[1] != lstm->x.shape[2] || lookup->indices.count != 1) {
    return false;
  }
  const ArrayRef& tokens = lookup->indices.items[0];
  const int64_t places = lstm->x.shape[0] * lstm->x.shape[1];
  if (tokens.dtype != DType::Int64 || !gather::is_dense(tokens) || 2 * lookup->x.shape[0] > places)
    return false;
  int last = i;
  if (uses.size() == 3) {
    last = at.backward = uses[2];
    const auto* b = r.match<LstmBackwardArgs>(last, "lstm_backward");
    if (r.keeps_bits() || !b || b->x.storage != lstm->x.storage || b->x.offset != lstm->x.offset)
      return false;
    if (b->dx.storage && !find_scatter(r, *lookup, b->dx, at)) return false;
  }
  return !r.written_between(lookup->x, at.lookup, last + 1) &&
         !r.written_between(tokens, at.lookup, last + 1);
}

RV_REWRITE(embedding_lstm, 3, [](Rewriter& r) {
  int count = 0;
  for (int i = 0; i < r.size(); ++i) {
    Found at;
    if (!find(r, i, at)) continue;
    const GatherArgs lookup = *r.match<GatherArgs>(at.lookup, "embedding");
    const ArrayRef tokens = lookup.indices.items[0];
    const int64_t rows = lookup.x.shape[0];
    LstmArgs lstm = *r.match<LstmArgs>(i, "lstm");
    lstm.x = lookup.x;
    static_cast<ArrayRef&>(lstm.tokens) = tokens;
    lstm.table = r.make_temporary(lstm.x.dtype, {rows, lstm.weight_ih.shape[0]});
    const KernelBase* kernel = r.kernel(i);
    r.erase(at.lookup);
    r.replace(i, kernel, lstm);
    if (at.backward >= 0) {
      LstmBackwardArgs backward = *r.match<LstmBackwardArgs>(at.backward, "lstm_backward");
      backward.x = lookup.x;
      backward.tokens = lstm.tokens;
      backward.dtable = r.make_temporary(lstm.x.dtype, {rows, lstm.weight_ih.shape[0]});
      if (at.scatter >= 0) {
        static_cast<ArrayRef&>(backward.dx) =
            r.match<ScatterArgs>(at.scatter, "embedding_backward")->x;
        backward.dx.access = Access::Out;
        r.erase(at.fill);
        r.erase(at.scatter);
      }
      kernel = r.kernel(at.backward);
      r.replace(at.backward, kernel, backward);
    }
    ++count;
  }
  return count;
});

}  // namespace
}  // namespace ranvier
