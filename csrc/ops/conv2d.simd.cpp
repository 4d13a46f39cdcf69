#include "ops/conv2d.h"

#include "ops/conv2d_grouped_impl.h"
#include "ops/conv2d_heads_impl.h"
#include "ops/conv2d_stem_data_impl.h"
#include "ops/conv2d_winograd_impl.h"

namespace ranvier::RV_ISA {
namespace {

using namespace conv;

// A plain product, where the weights leave no room for the outputs of a box in L2: it passes over
// the pixels once for some panels of them, run_channels over all weights once for each box.
template <class T>
bool prefers_matrix(const Correlation<T>& p) {
  const bool dense =
      p.out_pixel == p.K && p.out_row == p.cols * p.K && p.out_image == p.rows * p.out_row;
  return p.matrix() && dense && p.C * p.K * static_cast<int64_t>(sizeof(T)) >= 1 << 20;
}
template <class T>
void run_matrix(const Correlation<T>& p) {
  gemm::product<T>(p.images * p.rows * p.cols, p.K, p.C, gemm::Matrix<T>{p.in, p.C, 1},
                   gemm::Matrix<T>{p.weight, p.weight_c, p.weight_k},
                   gemm::Output<T>{p.out, p.K, false, p.bias, p.relu});
}

// Which kernel runs is a matter of the shape alone; figures in docs/conv-layout.md. False where it
// is run_channels, which is for the caller to call.
template <class T>
bool run_special(const Correlation<T>& p, T* workspace) {
  if (p.rows == 0 || p.cols == 0) return true;
  if (p.R == 0 || p.S == 0) {
    fill_bias(p);
  } else if (prefers_dots(p)) {
    run_dots(p, workspace);
  } else if (prefers_head_taps(p)) {
    run_head_taps(p, workspace);
  } else if (prefers_few(p)) {
    run_few(p, workspace);
  } else if (prefers_matrix(p)) {
    run_matrix(p);
#if RV_SLIDE
  } else if (prefers_slide(p)) {
    if constexpr (__is_same(T, float)) run_slide(p, workspace);
#endif
  } else {
    return false;
  }
  return true;
}

// Collects what run_channels does, of one C and K, to run it together.
template <class T>
struct Channels {
  T* workspace;
  Correlation<T> waiting[kTogether];
  int64_t count = 0;

  void add(const Correlation<T>& p) {
    if (run_special(p, workspace)) return;
    waiting[count++] = p;
    if (count == kTogether) finish();
  }
  void finish() {
    if (count > 0) run_channels(waiting, count, workspace);
    count = 0;
  }
};

template <class T>
void forward(const Conv2dArgs& a) {
  T* workspace = data<T>(a.workspace);
  if (conv2d_depthwise(a.shape)) {
    Correlation<T> p = forward_problem<T>(a, 0);
    p.K = a.shape.K;
    return run_depthwise(p, workspace);
  }
  if (grouped_channels<T>(a.shape)) {
    Correlation<T> p = forward_problem<T>(a, 0);
    p.K = a.shape.K;
    return run_grouped(p, p.C * a.weight.strides[0], workspace);
  }
#if RV_WINOGRAD
  if constexpr (__is_same(T, float)) {
    if (a.winograd && conv2d_stem(a.shape)) return stem::run(forward_problem<T>(a, 0), workspace);
    for (int64_t group = 0; a.winograd && group < a.shape.groups; ++group) {
      winograd::run(forward_problem<T>(a, group), workspace);
    }
    if (a.winograd) return;
  }
#endif
  for (int64_t group = 0; group < a.shape.groups; ++group) {
    const Correlation<T> p = forward_problem<T>(a, group);
    if (!run_special(p, workspace)) run_channels(&p, 1, workspace);
  }
}

template <class T>
void data_gradient(const Conv2dDataArgs& a) {
  const Conv2dShape& s = a.shape;
  T* workspace = data<T>(a.workspace);
  const bool depthwise = conv2d_depthwise(s), grouped = grouped_channels<T>(s);
  const bool by_tiles = a.winograd && conv2d_data_prefers_minimal(s);
  if (depthwise && depthwise_near_data(s)) return run_depthwise_near_data(a, workspace);
#if RV_WINOGRAD
  if constexpr (__is_same(T, float)) {
    if (a.winograd && conv2d_data_stem(s)) return stem::run_data(a, workspace);
  }
#endif
  for (int64_t group = 0; group < (depthwise || grouped ? 1 : s.groups); ++group) {
    Channels<T> channels{workspace, {}};
    if (!depthwise && !grouped && s.P == 1 && s.Q == 1) {
      for (int64_t i = 0; i < s.H * s.W; ++i) {
        channels.add(pixel_problem<T>(a, group, i / s.W, i % s.W));
      }
      channels.finish();
      continue;
    }
    if (!depthwise && !by_tiles && prefers_runs<T>(s)) {
      prefers_taps<T>(s) ? run_taps(taps_problem<T>(a), workspace) : run_runs(a, group, workspace);
      continue;
    }
    for (int64_t h = 0; h < s.stride_h; ++h) {
      for (int64_t w = 0; w < s.stride_w; ++w) {
        Correlation<T> p = data_problem<T>(a, group, h, w);
        if (depthwise) p.K = s.C, p.weight_k = a.weight.strides[0];
        if (grouped) {
          p.K = s.C;
          run_grouped(p, p.C * a.weight.strides[0], workspace);
          continue;
        }
#if RV_WINOGRAD
        if constexpr (__is_same(T, float)) {
          if (by_tiles && winograd::fits(p)) {
            winograd::run(p, workspace);
            continue;
          }
        }
#endif
        if (depthwise && p.R > 0 && p.S > 0) {
          run_depthwise(p, workspace);
        } else {
          channels.add(p);
        }
      }
    }
    channels.finish();
  }
}

template <class T>
void weight_gradient(const Conv2dWeightArgs& a) {
  T* workspace = data<T>(a.workspace);
  if (conv2d_depthwise(a.shape)) return run_depthwise_weight(a, workspace);
  if (a.dbias.storage && a.shape.groups > 1) run_bias(a, workspace);
#if RV_WINOGRAD
  if constexpr (__is_same(T, float)) {
    if (a.winograd && conv2d_weight_stem(a.shape)) return stem::run_weight(a, workspace);
    for (int64_t group = 0; a.winograd && group < a.shape.groups; ++group) {
      winograd::run_weight(a, group, workspace);
    }
    if (a.winograd) return;
  }
#endif
  for (int64_t group = 0; group < a.shape.groups; ++group) run_weight(a, group, workspace);
}

}  // namespace

void conv2d(const Conv2dArgs& a) {
  a.y.dtype == DType::Float64 ? forward<double>(a) : forward<float>(a);
}
void conv2d_data(const Conv2dDataArgs& a) {
  a.dx.dtype == DType::Float64 ? data_gradient<double>(a) : data_gradient<float>(a);
}
void conv2d_weight(const Conv2dWeightArgs& a) {
  a.dweight.dtype == DType::Float64 ? weight_gradient<double>(a) : weight_gradient<float>(a);
}

}  // namespace ranvier::RV_ISA
