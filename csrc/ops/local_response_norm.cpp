#include "ops/local_response_norm.h"

#include <algorithm>

#include "core/bind.h"
#include "core/kernel.h"

namespace ranvier {

RV_KERNEL(local_response_norm, LocalResponseArgs);
RV_KERNEL(local_response_norm_grad, LocalResponseGradArgs);

namespace {

constexpr const char* kOp = "local_response_norm";

struct Window {
  int64_t pixels, channels, before, after, chunks, chunk_pixels;
};

Window window_of(const Array& x, int64_t size) {
  Window w{};
  w.channels = x.shape(1);
  w.pixels = x.size() / w.channels;
  w.before = std::min(size / 2, w.channels - 1);
  w.after = std::min((size - 1) / 2, w.channels - 1);
  w.chunk_pixels = std::max<int64_t>({1, 16384 / w.channels, (w.pixels + 63) / 64});
  w.chunks = (w.pixels + w.chunk_pixels - 1) / w.chunk_pixels;
  return w;
}

Array forward(const Array& given, int64_t size, double alpha, double beta, double k) {
  check_floating(kOp, given, "x");
  RV_CHECK(given.ndim() >= 2, kOp, Value, "expected x of shape (N, C, ...), got shape ",
           given.shape());
  RV_CHECK(size >= 1, kOp, Value, "expected a size of at least 1 channel, got ", size);
  Array y = Array::empty_channels_last(given.shape(), given.dtype(), given.device(), kOp);
  if (y.size() == 0) return y;
  Array x = given.channels_last();
  Window w = window_of(x, size);
  Array squares = Array::empty({w.chunks, w.before + w.channels + w.after}, x.dtype(), x.device());
  local_response_norm({in(x), out(y), out(squares), w.pixels, w.channels, w.before, w.after,
                       w.chunks, w.chunk_pixels, alpha / static_cast<double>(size), beta, k});
  return y;
}

Array backward(const Array& grad, const Array& given, int64_t size, double alpha, double beta,
               double k) {
  Array dx = Array::empty_channels_last(given.shape(), given.dtype(), given.device(), kOp);
  if (dx.size() == 0) return dx;
  Array x = given.channels_last(), dy = grad.channels_last();
  Window w = window_of(x, size);
  Array scratch =
      Array::empty({w.chunks, 2, w.before + w.channels + w.after}, x.dtype(), x.device());
  local_response_norm_grad({in(x), in(dy), out(dx), out(scratch), w.pixels, w.channels, w.before,
                            w.after, w.chunks, w.chunk_pixels, alpha / static_cast<double>(size),
                            beta, k});
  return dx;
}

}  // namespace

RV_BIND(m) {
  m.def("local_response_norm", &forward, RV_NOGIL, "x"_a, "size"_a, "alpha"_a, "beta"_a, "k"_a);
  m.def("local_response_norm_backward", &backward, RV_NOGIL, "dy"_a, "x"_a, "size"_a, "alpha"_a,
        "beta"_a, "k"_a);
}

}  // namespace ranvier
