#include "ops/local_response_norm.h"

#include "core/simd.h"
#include "core/simd_math.h"

namespace ranvier::RV_ISA {
namespace {

// s^-beta; the usual 3/4 without a logarithm.
template <class T>
RV_INLINE Vec<T> inverse_power(Vec<T> s, double beta) {
  if (beta == 0.75) {
    Vec<T> root = sqrt(s);
    return Vec<T>(T(1)) / (root * sqrt(root));
  }
  return pow(s, Vec<T>::broadcast(static_cast<T>(-beta)));
}

template <class T>
RV_INLINE Vec<T> window_sum(const T* p, int64_t size, auto lanes) {
  Vec<T> sum = Vec<T>::load(p, lanes);
  for (int64_t j = 1; j < size; ++j) sum += Vec<T>::load(p + j, lanes);
  return sum;
}

// f(index of x's first channel) for the pixels of each chunk, with its own `kinds` rows of scratch
// set to zero.
template <class T, class Args, class F>
RV_INLINE void for_each_pixel(const Args& args, int kinds, const F& f) {
  const int64_t width = kinds * (args.before + args.channels + args.after);
  parallel_for(args.chunks, [&](int64_t chunk) {
    T* scratch = data<T>(args.squares) + chunk * width;
    for (int64_t i = 0; i < width; ++i) scratch[i] = 0;
    int64_t first = chunk * args.chunk_pixels, last = first + args.chunk_pixels;
    if (last > args.pixels) last = args.pixels;
    for (int64_t p = first; p < last; ++p) f(p * args.channels, scratch);
  });
}

template <class T>
RV_INLINE void fill_squares(const T* x, T* squares, int64_t channels) {
  for_each_vector<T>(channels, [&](int64_t c, auto lanes) RV_LAMBDA {
    Vec<T> v = Vec<T>::load(x + c, lanes);
    (v * v).store(squares + c, lanes);
  });
}

template <class T>
void forward(const LocalResponseArgs& args) {
  using V = Vec<T>;
  const int64_t size = args.before + 1 + args.after;
  const V alpha = V::broadcast(static_cast<T>(args.alpha)),
          k = V::broadcast(static_cast<T>(args.k));
  for_each_pixel<T>(args, 1, [&](int64_t at, T* squares) {
    const T* x = data<T>(args.x) + at;
    T* y = data<T>(args.y) + at;
    fill_squares(x, squares + args.before, args.channels);
    for_each_vector<T>(args.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
      V s = fma(alpha, window_sum(squares + c, size, lanes), k);
      (V::load(x + c, lanes) * inverse_power(s, args.beta)).store(y + c, lanes);
    });
  });
}

template <class T>
void backward(const LocalResponseGradArgs& args) {
  using V = Vec<T>;
  const int64_t size = args.before + 1 + args.after, width = args.channels + size - 1;
  const V alpha = V::broadcast(static_cast<T>(args.alpha)),
          k = V::broadcast(static_cast<T>(args.k));
  const V slope = V::broadcast(static_cast<T>(-2 * args.alpha * args.beta));
  for_each_pixel<T>(args, 2, [&](int64_t at, T* squares) {
    const T *x = data<T>(args.x) + at, *dy = data<T>(args.dy) + at;
    T *dx = data<T>(args.dx) + at, *shares = squares + width;
    fill_squares(x, squares + args.before, args.channels);
    // A channel sees `after` channels below it and `before` above: the window turned round.
    for_each_vector<T>(args.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
      V s = fma(alpha, window_sum(squares + c, size, lanes), k);
      V direct = V::load(dy + c, lanes) * inverse_power(s, args.beta);
      direct.store(dx + c, lanes);
      (direct * V::load(x + c, lanes) / s).store(shares + args.after + c, lanes);
    });
    for_each_vector<T>(args.channels, [&](int64_t c, auto lanes) RV_LAMBDA {
      V shared = window_sum(shares + c, size, lanes) * V::load(x + c, lanes);
      fma(slope, shared, V::load(dx + c, lanes)).store(dx + c, lanes);
    });
  });
}

}  // namespace

void local_response_norm(const LocalResponseArgs& args) {
  args.x.dtype == DType::Float64 ? forward<double>(args) : forward<float>(args);
}
void local_response_norm_grad(const LocalResponseGradArgs& args) {
  args.x.dtype == DType::Float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace ranvier::RV_ISA
