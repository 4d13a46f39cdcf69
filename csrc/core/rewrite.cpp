#include "core/rewrite.h"

#include <algorithm>
#include <cstring>

#include "core/array.h"

namespace ranvier {

RewriteRule* RewriteRule::first = nullptr;

RewriteRule::RewriteRule(const char* name, int rank, Fn apply)
    : name(name), rank(rank), apply(apply), next(first) {
  first = this;
}

bool same_layout(const ArrayRef& a, const ArrayRef& b) {
  if (a.dtype != b.dtype || a.ndim != b.ndim) return false;
  for (int i = 0; i < a.ndim; ++i)
    if (a.shape[i] != b.shape[i] || (a.strides[i] != b.strides[i] && a.shape[i] > 1)) return false;
  return true;
}

Rewriter::Rewriter(Program& program) : program_(program), calls_(program.calls_) {
  for (int i = 0; i < size(); ++i) refer(i);
}

std::vector<std::pair<std::string, int>> Rewriter::run() {
  std::vector<const RewriteRule*> rules;
  for (const RewriteRule* r = RewriteRule::first; r; r = r->next) rules.push_back(r);
  std::sort(rules.begin(), rules.end(), [](const RewriteRule* a, const RewriteRule* b) {
    return a->rank != b->rank ? a->rank < b->rank
                              : std::string_view(a->name) < std::string_view(b->name);
  });
  std::vector<std::pair<std::string, int>> applied;
  for (const RewriteRule* r : rules) applied.emplace_back(r->name, r->apply(*this));
  std::erase_if(calls_, [](const Call& c) { return !c.kernel && !c.chain; });
  return applied;
}

void Rewriter::refer(int i) {
  for_each_ref(i, [&](const ArrayRef& r) {
    std::vector<int>& at = uses_[static_cast<Storage*>(r.storage)];
    auto place = std::lower_bound(at.begin(), at.end(), i);
    if (place == at.end() || *place != i) at.insert(place, i);
  });
}

const std::vector<int>& Rewriter::uses(const ArrayRef& a) {
  return uses_[static_cast<Storage*>(a.storage)];
}

bool Rewriter::temporary(const ArrayRef& a) const {
  return Program::owns(static_cast<Storage*>(a.storage));
}

bool Rewriter::used_between(const ArrayRef& a, int i, int j) {
  for (int k : uses(a))
    if (i < k && k < j) return true;
  return false;
}

bool Rewriter::written_between(const ArrayRef& a, int i, int j) {
  bool found = false;
  for (int k : uses(a)) {
    if (k <= i || k >= j) continue;
    for_each_ref(
        k, [&](const ArrayRef& r) { found |= r.storage == a.storage && r.access != Access::In; });
  }
  return found;
}

void Rewriter::erase(int i) {
  for_each_ref(i, [&](const ArrayRef& r) {
    std::vector<int>& at = uses_[static_cast<Storage*>(r.storage)];
    at.erase(std::remove(at.begin(), at.end(), i), at.end());
  });
  calls_[i] = Call{};
}

void Rewriter::replace(int i, const KernelBase* kernel, const void* args, size_t bytes) {
  erase(i);
  program_.structs_.emplace_back(new char[bytes]);
  std::memcpy(program_.structs_.back().get(), args, bytes);
  calls_[i] = Call{kernel, program_.structs_.back().get(), nullptr};
  refer(i);
}

Out Rewriter::make_temporary(DType dtype, std::initializer_list<int64_t> shape) {
  Out r{};
  int64_t size = 1;
  for (int64_t n : shape) r.shape[r.ndim++] = n;
  for (int i = r.ndim - 1; i >= 0; --i) {
    r.strides[i] = size;
    size *= r.shape[i];
  }
  program_.storages_.push_back(allocate(size * item_size(dtype), Device{}));
  r.storage = program_.storages_.back().get();
  r.dtype = dtype;
  r.access = Access::Out;
  r.device = DeviceKind::Cpu;
  return r;
}

Span Rewriter::keep(const std::vector<ArrayRef>& refs) {
  const size_t bytes = refs.size() * sizeof(ArrayRef);
  program_.structs_.emplace_back(new char[bytes]);
  std::memcpy(program_.structs_.back().get(), refs.data(), bytes);
  return {reinterpret_cast<const ArrayRef*>(program_.structs_.back().get()),
          static_cast<int64_t>(refs.size())};
}

void Rewriter::rename(const ArrayRef& a, const ArrayRef& b) {
  StorageRef *from = a.storage, *to = b.storage;
  std::vector<int> moved = std::move(uses_[static_cast<Storage*>(from)]);
  uses_[static_cast<Storage*>(from)].clear();
  for (int i : moved)
    for_each_ref(i, [&](ArrayRef& r) {
      if (r.storage == from) r.storage = to;
    });
  std::vector<int>& at = uses_[static_cast<Storage*>(to)];
  at.insert(at.end(), moved.begin(), moved.end());
  std::sort(at.begin(), at.end());
  at.erase(std::unique(at.begin(), at.end()), at.end());
}

void Rewriter::make_chain(const std::vector<int>& members, Chain chain) {
  for (int i : members) {
    chain.members.push_back(calls_[i]);
    erase(i);
  }
  calls_[members[0]].chain = std::make_shared<Chain>(std::move(chain));
  refer(members[0]);
}

}  // namespace ranvier
