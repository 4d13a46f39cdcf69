// Errors. Every message reads `[op] expected ..., got ... - likely cure`.
#pragma once

#include <cstdint>
#include <exception>
#include <sstream>
#include <string>
#include <utility>

namespace ranvier {

enum class ErrorKind { Value, Type, Index, Memory, Runtime, Capture };

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
  std::string text_;
};

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream s;
  (s << ... << parts);
  return s.str();
}

// fail("conv2d", ErrorKind::Value, "expected ...", got, ...) throws `[conv2d] expected ...`.
template <class... Parts>
[[noreturn, gnu::noinline, gnu::cold]] void fail(const char* op, ErrorKind kind,
                                                 const Parts&... parts) {
  throw Error(kind, text('[', op, "] ", parts...));
}

// The parts are evaluated only when the condition fails.
#define RV_CHECK(condition, op, kind, ...)                          \
  do {                                                              \
    if (__builtin_expect(!(condition), 0))                          \
      ::ranvier::fail(op, ::ranvier::ErrorKind::kind, __VA_ARGS__); \
  } while (0)

// a * b, refusing to overflow.
inline int64_t checked_mul(const char* op, int64_t a, int64_t b) {
  int64_t c;
  RV_CHECK(!__builtin_mul_overflow(a, b, &c), op, Value, "expected a size below 2^63, got ", a,
           " * ", b, " - the shapes multiply to more elements than any machine holds");
  return c;
}

}  // namespace ranvier
