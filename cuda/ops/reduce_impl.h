// One kernel for all reductions. An output belongs to 1, 32 or 256 threads of a block: 1 where
// neighbours in memory belong to different outputs, else as many as there is work for. Where that
// gives too few threads, the reduced range is cut into pieces, merged in order by a second kernel.
// Rooms whose gradients are sums (a bias) use it too.
#pragma once

#include "cuda/core/elementwise.h"
#include "cuda/core/functions.h"
#include "cuda/core/reduction.h"
#include "ops/reduce.h"

namespace ranvier::reduction {

// ---- One line per operation ----
// T is what x holds, A what is accumulated. `step` takes one more element, `merge` joins two parts.

template <class T>
__device__ bool is_nan(T x) {
  return x != x;
}

#define RV_LINE(Name, identity, joined)                     \
  template <class T_, class A_>                             \
  struct Name {                                             \
    using T = T_;                                           \
    using A = A_;                                           \
    static constexpr bool kIndex = false;                   \
    static __device__ A first() { return identity; }        \
    static __device__ A merge(A a, A b) { return joined; }  \
    static __device__ A step(A acc, T x, double, int64_t) { \
      return merge(acc, static_cast<A>(x));                 \
    }                                                       \
  };
RV_LINE(Sum, A(0), a + b)
RV_LINE(Product, A(1), a* b)
RV_LINE(AnyTrue, A(0), static_cast<A>(a | b))
RV_LINE(AllTrue, A(1), static_cast<A>(a& b))
#undef RV_LINE

// The best value so far and where it was; -1 before the first. Ties go to the first.
template <class T>
struct Best {
  T value;
  int64_t index;
};
inline __device__ void finish(void* y, int64_t at, DType t, double acc, double divisor) {
  if (divisor != 1) acc /= divisor;
  if (t == DType::Float64)
    static_cast<double*>(y)[at] = acc;
  else
    static_cast<float*>(y)[at] = static_cast<float>(acc);
}
inline __device__ void finish(void* y, int64_t at, DType, float acc, double) {
  static_cast<float*>(y)[at] = acc;
}
inline __device__ void finish(void* y, int64_t at, DType, int64_t acc, double) {
  static_cast<int64_t*>(y)[at] = acc;
}
inline __device__ void finish(void* y, int64_t at, DType, uint8_t acc, double) {
  static_cast<uint8_t*>(y)[at] = acc;
}
template <class T>
__device__ void finish(void* y, int64_t at, DType, Best<T> acc, double) {
  static_cast<int64_t*>(y)[at] = acc.index;
}

struct Problem {
  Layout<3> kept;     // of x, y, center
  Layout<1> reduced;  // of x
  const void* x;
  const double* center;
  const void* factor;  // laid out as x
  void* y;
  DType y_type;
  double divisor;
  int group;              // threads of one output
  int width;              // of a strip; 0: none
  int64_t pieces, share;  // of the reduced range
  void* partial;          // (pieces, outputs) where there are several
};

template <class Op>
constexpr bool kTwoFactors = requires { typename Op::Factor; };

// What one thread adds up for an output: every group-th element of a piece, from `member` on.
template <class Op>
__device__ typename Op::A sum_of(const Problem& p, const int64_t (&at)[3], int64_t piece,
                                 int member) {
  typename Op::A acc = Op::first();
  const auto* x = static_cast<const typename Op::T*>(p.x) + at[0];
  const double center = p.center ? p.center[at[2]] : 0.0;
  const int64_t begin = piece * p.share;
  const int64_t end = begin + p.share < p.reduced.count ? begin + p.share : p.reduced.count;
  for (int64_t i = begin + member; i < end; i += p.group) {
    int64_t from[1];
    p.reduced.locate(i, from);
    if constexpr (kTwoFactors<Op>) {
      const auto* factor = static_cast<const typename Op::T*>(p.factor) + at[0];
      acc = Op::step(acc, x[from[0]], static_cast<double>(factor[from[0]]), i);
    } else {
      acc = Op::step(acc, x[from[0]], center, i);
    }
  }
  return acc;
}

template <class Op>
__global__ void __launch_bounds__(kReduceThreads) reduce_kernel(Problem p) {
  using A = typename Op::A;
  RV_SHARED(A, part, kReduceThreads);
  const int group = p.group, member = static_cast<int>(threadIdx.x) % group;
  const int64_t output = int64_t{blockIdx.x} * (kReduceThreads / group) + threadIdx.x / group;
  const int64_t piece = blockIdx.y;
  A acc = Op::first();
  int64_t at[3] = {};
  if (output < p.kept.count) {
    p.kept.locate(output, at);
    acc = sum_of<Op>(p, at, piece, member);
  }
  acc = join_group(acc, group, part, [](A a, A b) { return Op::merge(a, b); });
  if (output >= p.kept.count || member != 0) return;
  if (p.pieces > 1)
    static_cast<A*>(p.partial)[piece * p.kept.count + output] = acc;
  else
    finish(p.y, at[1], p.y_type, acc, p.divisor);
}

// Where fewer than 32 outputs are neighbours in memory, and the reduced numbers lie further apart:
// a strip of all of them belongs to `group` rows of threads, so that a warp reads one run.
template <class Op>
__global__ void __launch_bounds__(kReduceThreads) strip_kernel(Problem p) {
  using A = typename Op::A;
  RV_SHARED(A, part, kReduceThreads);
  const int thread = static_cast<int>(threadIdx.x), group = p.group, width = p.width;
  const int strips = kReduceThreads / (width * group), row = thread / width % group;
  const int strip = thread / width / group;
  const int64_t output = (int64_t{blockIdx.x} * strips + strip) * width + thread % width;
  const bool mine = strip < strips && output < p.kept.count;
  const int64_t piece = blockIdx.y;
  A acc = Op::first();
  int64_t at[3] = {};
  if (mine) {
    p.kept.locate(output, at);
    acc = sum_of<Op>(p, at, piece, row);
  }
  part[thread] = acc;
  for (int half = group / 2; half > 0; half /= 2) {
    __syncthreads();
    if (mine && row < half)
      part[thread] = acc = Op::merge(acc, static_cast<A>(part[thread + half * width]));
  }
  if (!mine || row != 0) return;
  if (p.pieces > 1)
    static_cast<A*>(p.partial)[piece * p.kept.count + output] = acc;
  else
    finish(p.y, at[1], p.y_type, acc, p.divisor);
}

template <class Op>
__global__ void __launch_bounds__(kReduceThreads) merge_kernel(Problem p) {
  using A = typename Op::A;
  const int64_t output = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  if (output >= p.kept.count) return;
  const A* from = static_cast<const A*>(p.partial) + output;
  A acc = from[0];
  for (int64_t i = 1; i < p.pieces; ++i) acc = Op::merge(acc, from[i * p.kept.count]);
  int64_t at[3];
  p.kept.locate(output, at);
  finish(p.y, at[1], p.y_type, acc, p.divisor);
}

// ---- How the work is cut: by the shape alone ----

inline int64_t magnitude(int64_t s) { return s < 0 ? -s : s; }

// Axes from slowest to fastest in x (or as they come), neighbours that are one run joined.
template <int K>
void add_axis(Layout<K>& l, int64_t size, const int64_t (&stride)[K], bool sorted) {
  l.count *= size;
  if (size == 1) return;
  int j = l.ndim++;
  for (; sorted && j > 0 && magnitude(l.stride[0][j - 1]) < magnitude(stride[0]); --j) {
    l.shape[j] = l.shape[j - 1];
    for (int k = 0; k < K; ++k) l.stride[k][j] = l.stride[k][j - 1];
  }
  l.shape[j] = size;
  for (int k = 0; k < K; ++k) l.stride[k][j] = stride[k];
}
template <int K>
void join_axes(Layout<K>& l) {
  int m = 0;
  for (int i = 0; i < l.ndim; ++i) {
    bool one = m > 0;
    for (int k = 0; one && k < K; ++k) one = l.stride[k][m - 1] == l.stride[k][i] * l.shape[i];
    const int64_t size = one ? l.shape[m - 1] * l.shape[i] : l.shape[i];
    if (!one) ++m;
    l.shape[m - 1] = size;
    for (int k = 0; k < K; ++k) l.stride[k][m - 1] = l.stride[k][i];
  }
  l.ndim = m;
  if (m == 0) {
    l.ndim = 1;
    l.shape[0] = l.count;
    for (int k = 0; k < K; ++k) l.stride[k][0] = 0;
  }
  l.settle();
}

template <class Op>
void run(const ReduceArgs& args, const Context& c) {
  Problem p{};
  p.kept.count = p.reduced.count = 1;
  const bool center = args.center.storage != nullptr && !kTwoFactors<Op>;
  for (int i = 0; i < args.x.ndim; ++i) {
    const int64_t size = args.x.shape[i], sx = args.x.strides[i];
    if (args.axes >> i & 1)
      add_axis<1>(p.reduced, size, {sx}, !Op::kIndex);  // positions count in logical order
    else
      add_axis<3>(p.kept, size, {sx, args.y.strides[i], center ? args.center.strides[i] : 0}, true);
  }
  join_axes(p.kept);
  join_axes(p.reduced);
  if (p.kept.count == 0) return;
  p.x = device_data<char>(args.x);
  p.y = device_data<char>(args.y);
  p.center = center ? device_data<double>(args.center) : nullptr;
  if constexpr (kTwoFactors<Op>) p.factor = device_data<char>(args.center);
  p.y_type = args.y.dtype;
  p.divisor = args.divisor;
  const int64_t outputs = p.kept.count, count = p.reduced.count;
  const int64_t across = magnitude(p.kept.stride[0][p.kept.ndim - 1]);
  const int64_t down = magnitude(p.reduced.stride[0][p.reduced.ndim - 1]);
  const bool columns = p.kept.shape[p.kept.ndim - 1] >= 32 && across < down;
  p.group = columns || count <= 4 ? 1 : count <= 1024 ? 32 : kReduceThreads;
  int64_t blocks = divide_up(outputs * p.group, kReduceThreads);
  const int64_t neighbours = p.kept.shape[p.kept.ndim - 1];
  if (p.group > 1 && neighbours > 1 && neighbours < 32 && across != 0 && across < down) {
    p.width = static_cast<int>(neighbours);
    for (p.group = 1; 2 * p.group * p.width <= kReduceThreads && p.group < count;) p.group *= 2;
    blocks = divide_up(outputs / p.width, kReduceThreads / (p.width * p.group));
  }
  // Enough blocks to fill a large GPU, each thread with at least 16 elements.
  constexpr int64_t kBlocks = 512, kMostPieces = 1024;
  int64_t pieces = divide_up(kBlocks, blocks), most = count / (16 * p.group);
  pieces = pieces < most ? pieces : most;
  pieces = pieces < 1 ? 1 : pieces > kMostPieces ? kMostPieces : pieces;
  p.share = divide_up(count > 0 ? count : 1, pieces);
  p.pieces = divide_up(count > 0 ? count : 1, p.share);
  const Scratch partial(c, p.pieces > 1 ? p.pieces * outputs * sizeof(typename Op::A) : 0);
  p.partial = partial.as<char>();
  launch(c, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(p.pieces)), kReduceThreads,
         p.width > 0 ? strip_kernel<Op> : reduce_kernel<Op>, p);
  if (p.pieces > 1)
    launch(c, static_cast<unsigned>(divide_up(outputs, kReduceThreads)), kReduceThreads,
           merge_kernel<Op>, p);
}

// y = the sum of x over `axes`; both given as ReduceArgs wants them.
template <class T>
void sum_over(const ArrayRef& x, const ArrayRef& y, uint32_t axes, const Context& c) {
  ReduceArgs args{};
  static_cast<ArrayRef&>(args.x) = x;
  static_cast<ArrayRef&>(args.y) = y;
  args.axes = axes;
  args.divisor = 1;
  run<Sum<T, double>>(args, c);
}

}  // namespace ranvier::reduction
