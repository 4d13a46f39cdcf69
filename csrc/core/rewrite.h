// Rewrite rules: each looks at the calls of a captured step and replaces some by fewer or cheaper
// ones that give the same bits. A rule that adds in another order says within which bound, and
// stands back where keeps_bits(). Rules live in csrc/rewrites, know kernels by name and argument
// struct, and are applied in the order of their rank.
//
//   RV_REWRITE(drop_copies, 1, [](Rewriter& r) { ...; return how_often; });
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/program.h"

namespace ranvier {

class Rewriter {
 public:
  explicit Rewriter(Program& program);
  // Applies all rules; how often each did something.
  std::vector<std::pair<std::string, int>> run();

  // Whether the program must give the bits of the eager step.
  bool keeps_bits() const { return program_.keeps_bits_; }
  int size() const { return static_cast<int>(calls_.size()); }
  // The kernel of call i; nullptr if the call was removed or is a chain.
  const KernelBase* kernel(int i) const { return calls_[i].kernel; }
  const void* args(int i) const { return calls_[i].args; }
  // The arguments of call i if it is one of this kernel.
  template <class Args>
  Args* match(int i, std::string_view kernel) const {
    const Call& c = calls_[i];
    return c.kernel && kernel == c.kernel->name ? static_cast<Args*>(c.args) : nullptr;
  }
  template <class F>
  void for_each_ref(int i, const F& f) const {
    ranvier::for_each_ref(calls_[i], f);
  }

  // Positions of the calls that use the array's buffer, in order.
  const std::vector<int>& uses(const ArrayRef& a);
  // Only this program can see the buffer: if no call reads it any more, nobody misses it.
  bool temporary(const ArrayRef& a) const;
  // Whether some call strictly between i and j writes the array's buffer, or at all uses it.
  bool written_between(const ArrayRef& a, int i, int j);
  bool used_between(const ArrayRef& a, int i, int j);

  void erase(int i);
  // All uses of a's buffer become uses of b's, at the same offsets: both are laid out the same.
  void rename(const ArrayRef& a, const ArrayRef& b);
  // Another call in the place of call i.
  template <class Args>
  void replace(int i, const KernelBase* kernel, const Args& args) {
    replace(i, kernel, &args, sizeof(Args));
  }
  // A new row-major temporary.
  Out make_temporary(DType dtype, std::initializer_list<int64_t> shape);
  // References for a span of a new call, kept as long as the program.
  Span keep(const std::vector<ArrayRef>& refs);
  // Puts a chain in the place of the first of these calls; the others go.
  void make_chain(const std::vector<int>& members, Chain chain);

 private:
  void refer(int i);  // notes which buffers call i uses
  void replace(int i, const KernelBase* kernel, const void* args, size_t bytes);

  Program& program_;
  std::vector<Call>& calls_;
  std::unordered_map<Storage*, std::vector<int>> uses_;  // of every buffer, sorted
};

struct RewriteRule {
  using Fn = int (*)(Rewriter&);
  const char* name;
  int rank;
  Fn apply;
  RewriteRule* next;
  static RewriteRule* first;
  RewriteRule(const char* name, int rank, Fn apply);
};
#define RV_REWRITE(name, rank, ...) \
  static ::ranvier::RewriteRule name##_rule(#name, rank, __VA_ARGS__)

// The same elements at the same distances: a kernel that wrote one could write the other.
bool same_layout(const ArrayRef& a, const ArrayRef& b);

}  // namespace ranvier
