// Products of matrices whose elements are computed where they are needed: matmul, linear and every
// pass of a convolution are this kernel with other operands.
//
//   out(batch, i, j) = sum over d < depth of left(batch, i, d) * right(batch, j, d)
//
// An operand is a set of lines along the depth:
//
//   struct Operand {
//     struct Line {...};                                   // what one line needs, computed once
//     __device__ Line line(int64_t batch, int64_t i) const;  // i < lines, or past the end
//     __device__ T load(const Line&, int64_t d) const;     // zero for lines past the end
//     bool depth_fast;                             // neighbours in memory lie along the depth
//     bool whole;                                  // 16 bytes of it lie together, and aligned ...
//     __device__ const T* address(const Line&, int64_t d) const;  // ... from here; null: zeros
//     bool turned;                                 // 16 bytes of neighbouring lines do instead ...
//     __device__ const T* across(const Line&, int64_t d) const;  // ... from the first of them
//   };
//
// (`whole` and `address` for tensor_gemm.h, they and the last two for hopper_tiles.h),
//
// and the result goes to `out.store(batch, i, j, value)`, or neighbours of a row together, where it
// has those: to `out.store_two(batch, i, j, a, b)` or `out.store_four(batch, i, j, values)`, which
// knows where the row ends; pieces are added by
// `out.add_pieces(context, size, pieces)` where it knows better than row by row. One block computes
// a tile of BM x BN in steps of BK, each thread TM x TN of it in registers; the next step's
// elements travel while this one is multiplied. Where tiles are few and the depth is long, it is
// cut into pieces that other blocks sum; a second kernel adds them in order. All by the shape
// alone: the same bits on any run.
#pragma once

#include <initializer_list>

#include "cuda/core/half.h"
#include "cuda/core/launch.h"
#include "cuda/core/words.h"

namespace ranvier::gemm {

constexpr int kThreads = 256;

inline __device__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
inline __device__ double fused(double a, double b, double c) { return fma(a, b, c); }

struct Size {
  int64_t batches, m, n, depth;
  int64_t pieces, share;  // of the depth
  // Of this launch: the first column of tiles, and the first piece, counted over all products.
  int64_t first_column = 0, first_piece = 0;
  // Sums of the pieces, before they are added.
  int64_t partial_elements() const { return pieces > 1 ? batches * pieces * m * n : 0; }
};

// Tiles of a result, and pieces of all products.
struct Grid {
  int64_t rows, columns, pieces;
};
// Cuts the depth into pieces, multiples of `step`, and returns the grid: tiles of BM x BN.
inline Grid cut(Size* size, int BM, int BN, int step, bool split) {
  const int64_t tiles_m = divide_up(size->m, BM), tiles_n = divide_up(size->n, BN);
  const int64_t tiles = tiles_m * tiles_n * size->batches;
  const int64_t depth = size->depth > 0 ? size->depth : 1;
  // Two blocks for each processor of a large GPU, no piece below 256 of the depth.
  constexpr int64_t kBlocks = 264, kLeast = 256, kMost = 64;
  int64_t pieces = kBlocks / tiles;
  pieces = pieces < size->depth / kLeast ? pieces : size->depth / kLeast;
  pieces = pieces < 1 || !split ? 1 : pieces > kMost ? kMost : pieces;
  size->share = divide_up(divide_up(depth, pieces), step) * step;
  size->pieces = divide_up(depth, size->share);
  return {tiles_m, tiles_n, size->batches * size->pieces};
}

// f(size, grid) for launches that cover all of it: one has a limit along y and z.
template <class F>
void each_launch(Size size, const Grid& all, const F& f) {
  for (int64_t z = 0; z < all.pieces; z += kMostBlocksDeep)
    for (int64_t y = 0; y < all.columns; y += kMostBlocksDeep) {
      const int64_t columns = all.columns - y, pieces = all.pieces - z;
      size.first_column = y, size.first_piece = z;
      f(size, dim3(static_cast<unsigned>(all.rows),
                   static_cast<unsigned>(columns < kMostBlocksDeep ? columns : kMostBlocksDeep),
                   static_cast<unsigned>(pieces < kMostBlocksDeep ? pieces : kMostBlocksDeep)));
    }
}

// A large tile takes a processor for itself: were the compiler to make room for a second one, it
// would spill.
template <class T, int BM, int BN, int BK, int TM, int TN, class Left, class Right, class Out>
__global__ void __launch_bounds__(kThreads, BM == 128 ? 1 : 0)
    tile_kernel(Size size, Left left, Right right, Out out, T* partial) {
  static_assert(BM / TM * (BN / TN) == kThreads && BM * BK % kThreads == 0);
  constexpr int kLeft = BM * BK / kThreads, kRight = BN * BK / kThreads;
  constexpr int kLeftRow = BM + 4, kRightRow = BN + 4;  // padded: fewer bank conflicts
  RV_SHARED(T, tile_left, BK * kLeftRow);
  RV_SHARED(T, tile_right, BK * kRightRow);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t i0 = int64_t{blockIdx.x} * BM, j0 = (size.first_column + blockIdx.y) * BN;
  const int64_t layer = size.first_piece + blockIdx.z;
  const int64_t batch = layer / size.pieces, piece = layer % size.pieces;
  const int64_t first = piece * size.share;
  const int64_t last = first + size.share < size.depth ? first + size.share : size.depth;

  // Element e of a tile is `apart` lines and `deep` steps of the depth behind the one before it;
  // neighbouring threads take neighbours in memory.
  static_assert(kThreads % BK == 0 && kThreads % BM == 0 && kThreads % BN == 0);
  const int left_i = left.depth_fast ? thread / BK : thread % BM;
  const int left_d = left.depth_fast ? thread % BK : thread / BM;
  const int left_apart = left.depth_fast ? kThreads / BK : 0;
  const int left_deep = left.depth_fast ? 0 : kThreads / BM;
  const int right_j = right.depth_fast ? thread / BK : thread % BN;
  const int right_d = right.depth_fast ? thread % BK : thread / BN;
  const int right_apart = right.depth_fast ? kThreads / BK : 0;
  const int right_deep = right.depth_fast ? 0 : kThreads / BN;
  typename Left::Line left_line[kLeft];
  typename Right::Line right_line[kRight];
#pragma unroll
  for (int e = 0; e < kLeft; ++e) left_line[e] = left.line(batch, i0 + left_i + e * left_apart);
#pragma unroll
  for (int e = 0; e < kRight; ++e)
    right_line[e] = right.line(batch, j0 + right_j + e * right_apart);
  T next_left[kLeft], next_right[kRight];
  auto fetch = [&](int64_t d0) {
#pragma unroll
    for (int e = 0; e < kLeft; ++e) {
      const int64_t d = d0 + left_d + e * left_deep;
      next_left[e] = d < last ? left.load(left_line[e], d) : T(0);
    }
#pragma unroll
    for (int e = 0; e < kRight; ++e) {
      const int64_t d = d0 + right_d + e * right_deep;
      next_right[e] = d < last ? right.load(right_line[e], d) : T(0);
    }
  };

  T sum[TM][TN] = {};
  // Rows and columns of a thread are a stride apart, so that neighbours read neighbours.
  constexpr int kRows = BM / TM, kColumns = BN / TN;
  const int row = thread / kColumns, column = thread % kColumns;
  fetch(first);
  for (int64_t d0 = first; d0 < last; d0 += BK) {
#pragma unroll
    for (int e = 0; e < kLeft; ++e)
      tile_left[(left_d + e * left_deep) * kLeftRow + left_i + e * left_apart] = next_left[e];
#pragma unroll
    for (int e = 0; e < kRight; ++e)
      tile_right[(right_d + e * right_deep) * kRightRow + right_j + e * right_apart] =
          next_right[e];
    __syncthreads();
    fetch(d0 + BK);
#pragma unroll
    for (int d = 0; d < BK; ++d) {
      T a[TM], b[TN];
#pragma unroll
      for (int r = 0; r < TM; ++r) a[r] = tile_left[d * kLeftRow + row + r * kRows];
#pragma unroll
      for (int q = 0; q < TN; ++q) b[q] = tile_right[d * kRightRow + column + q * kColumns];
#pragma unroll
      for (int r = 0; r < TM; ++r)
#pragma unroll
        for (int q = 0; q < TN; ++q) sum[r][q] = fused(a[r], b[q], sum[r][q]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < TM; ++r) {
    const int64_t i = i0 + row + r * kRows;
#pragma unroll
    for (int q = 0; q < TN; ++q) {
      const int64_t j = j0 + column + q * kColumns;
      if (i >= size.m || j >= size.n) continue;
      if (size.pieces > 1)
        partial[((batch * size.pieces + piece) * size.m + i) * size.n + j] = sum[r][q];
      else
        out.store(batch, i, j, sum[r][q]);
    }
  }
}

template <class T, class Out>
__global__ void __launch_bounds__(kThreads) merge_kernel(Size size, Out out, const T* partial) {
  const int64_t step = int64_t{gridDim.x} * kThreads, plane = size.m * size.n;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < size.batches * plane;
       e += step) {
    const int64_t batch = e / plane, at = e % plane;
    const T* from = partial + batch * size.pieces * plane + at;
    T sum = from[0];
    for (int64_t p = 1; p < size.pieces; ++p) sum += from[p * plane];
    out.store(batch, at / size.n, at % size.n, sum);
  }
}

// Adds the pieces of the depth in order, where there are several.
template <class T, class Out>
void merge(const Context& c, const Size& size, const Out& out, const Scratch& partial) {
  if (size.pieces == 1) return;
  if constexpr (requires { out.add_pieces(c, size, partial.as<T>()); })
    return out.add_pieces(c, size, partial.as<T>());
  const int64_t blocks = divide_up(size.batches * size.m * size.n, kThreads);
  launch(c, static_cast<unsigned>(blocks < 4096 ? blocks : 4096), kThreads, merge_kernel<T, Out>,
         size, out, static_cast<const T*>(partial.as<T>()));
}

template <class T, int BM, int BN, int BK, int TM, int TN, class Left, class Right, class Out>
void run_tiles(const Context& c, Size size, const Left& left, const Right& right, const Out& out,
               bool split) {
  const Grid all = cut(&size, BM, BN, BK, split);
  const Scratch partial(c, size.partial_elements() * static_cast<int64_t>(sizeof(T)));
  each_launch(size, all, [&](const Size& part, dim3 grid) {
    launch(c, grid, kThreads, tile_kernel<T, BM, BN, BK, TM, TN, Left, Right, Out>, part, left,
           right, out, partial.as<T>());
  });
  merge<T>(c, size, out, partial);
}

// Whether lines and elements of an operand are cheap enough in registers for the large tile.
template <class Operand>
constexpr bool kIsLight = requires { requires Operand::kLight; };

// Large tiles where there are enough of them to fill a GPU. Without `split` every sum is one chain
// in the order of the depth, whatever the other lines are.
template <class T, class Left, class Right, class Out>
void product(const Context& c, int64_t batches, int64_t m, int64_t n, int64_t depth,
             const Left& left, const Right& right, const Out& out, bool split = true) {
  if (batches == 0 || m == 0 || n == 0) return;
  const Size size{batches, m, n, depth, 1, 0};
  const int64_t large = divide_up(m, 128) * divide_up(n, 128) * batches;
  if constexpr (sizeof(T) == 4 && kIsLight<Left> && kIsLight<Right>) {
    if (large >= 132) return run_tiles<T, 128, 128, 8, 8, 8>(c, size, left, right, out, split);
  }
  run_tiles<T, 64, 64, 64 / sizeof(T), 4, 4>(c, size, left, right, out, split);
}

// ---- Operands and results in memory ----

// A matrix of lines with any strides; batches may repeat it (stride 0).
template <class T>
struct Matrix {
  static constexpr bool kLight = true;
  const T* data;
  int64_t lines, line_stride, depth_stride;
  bool depth_fast, whole, turned;
  int axes;  // of the batch
  int64_t shape[kMaxDims], stride[kMaxDims];

  struct Line {
    const T* data;  // null past the end
  };
  __device__ Line line(int64_t batch, int64_t i) const {
    if (i >= lines) return {nullptr};
    const T* p = data + i * line_stride;
    for (int a = axes - 1; a >= 0; --a) {
      p += batch % shape[a] * stride[a];
      batch /= shape[a];
    }
    return {p};
  }
  __device__ T load(const Line& l, int64_t d) const {
    return l.data ? l.data[d * depth_stride] : T{};
  }
  __device__ const T* address(const Line& l, int64_t d) const {
    return l.data ? l.data + d : nullptr;
  }
  __device__ const T* across(const Line& l, int64_t d) const {
    return l.data ? l.data + d * depth_stride : nullptr;
  }
};

// Whether a pointer and distances in elements keep to steps of 16 bytes.
template <class T>
bool aligned(const T* data, std::initializer_list<int64_t> distances) {
  bool all = reinterpret_cast<uintptr_t>(data) % 16 == 0;
  for (int64_t d : distances) all = all && d % static_cast<int64_t>(16 / sizeof(T)) == 0;
  return all;
}

// The last axes of an array: lines along `line_axis`, the depth along the other.
template <class T>
Matrix<T> matrix(const ArrayRef& r, int line_axis, int depth_axis) {
  Matrix<T> m{};
  m.data = device_data<T>(r);
  m.lines = r.shape[line_axis];
  m.line_stride = r.strides[line_axis];
  m.depth_stride = r.strides[depth_axis];
  m.depth_fast = m.depth_stride == 1 || (m.line_stride != 1 && m.depth_stride < m.line_stride);
  m.axes = r.ndim - 2;
  m.whole = m.depth_stride == 1 && aligned(m.data, {m.line_stride, r.shape[depth_axis]});
  m.turned = m.line_stride == 1 && aligned(m.data, {m.depth_stride, m.lines});
  for (int a = 0; a < m.axes; ++a) {
    m.shape[a] = r.shape[a], m.stride[a] = r.strides[a];
    m.whole = m.whole && aligned(m.data, {m.stride[a]});
    m.turned = m.turned && aligned(m.data, {m.stride[a]});
  }
  return m;
}

// Row-major results, with a bias per column or none.
template <class T>
struct RowMajor {
  T* data;
  int64_t m, n;
  const T* bias;
  int64_t bias_stride;
  bool relu;
  __device__ T finished(int64_t j, Wide<T> value) const {
    if (bias) value += widen(bias[j * bias_stride]);
    return narrow<T>(relu && value < Wide<T>(0) ? Wide<T>(0) : value);
  }
  __device__ void store(int64_t batch, int64_t i, int64_t j, Wide<T> value) const {
    data[(batch * m + i) * n + j] = finished(j, value);
  }
  __device__ void store_two(int64_t batch, int64_t i, int64_t j, Wide<T> a, Wide<T> b) const {
    put_two(data + (batch * m + i) * n + j, finished(j, a), finished(j + 1, b));
  }
  __device__ void store_four(int64_t batch, int64_t i, int64_t j, const Wide<T> (&v)[4]) const
    requires(sizeof(T) == 2)
  {
    T four[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) four[e] = j + e < n ? finished(j + e, v[e]) : T{};
    put_four(data + (batch * m + i) * n, j, n, four);
  }
};

// Columns j and j + 1 of n, j even.
template <class Out>
__device__ void store_pair(const Out& out, int64_t batch, int64_t i, int64_t j, int64_t n, float a,
                           float b) {
  if (j >= n) return;
  if constexpr (requires { out.store_two(batch, i, j, a, b); }) {
    if (j + 1 < n) return out.store_two(batch, i, j, a, b);
    out.store(batch, i, j, a);
  } else {
    out.store(batch, i, j, a);
    if (j + 1 < n) out.store(batch, i, j + 1, b);
  }
}

// What a lane has of a row in two neighbouring fragments of a tensor core: columns j, j + 1, j + 8
// and j + 9 of n, j even. Of half precision, pairs fill half a sector at a time: there the lane
// changes two for those of its neighbour, so that it has four columns in a row, and a warp stores
// whole sectors. All lanes call it; `inside` tells whether the row is one of the result.
template <class Out>
__device__ void store_fragments(const Out& out, int64_t batch, bool inside, int64_t i, int64_t j,
                                int64_t n, float a, float b, float c, float d) {
  if constexpr (requires(const float (&four)[4]) { out.store_four(batch, i, j, four); }) {
    const bool odd = threadIdx.x % 2 != 0;
    const float first = __shfl_xor_sync(0xffffffffu, odd ? a : c, 1);
    const float second = __shfl_xor_sync(0xffffffffu, odd ? b : d, 1);
    const float four[4] = {odd ? first : a, odd ? second : b, odd ? c : first, odd ? d : second};
    if (inside) out.store_four(batch, i, odd ? j + 6 : j, four);
  } else if (inside) {
    store_pair(out, batch, i, j, n, a, b);
    store_pair(out, batch, i, j + 8, n, c, d);
  }
}

// The same of a part of the sum, (layers, m, n).
struct Parts {
  float* data;
  int64_t m, n;
  __device__ void store(int64_t layer, int64_t i, int64_t j, float value) const {
    data[(layer * m + i) * n + j] = value;
  }
  __device__ void store_two(int64_t layer, int64_t i, int64_t j, float a, float b) const {
    put_two(data + (layer * m + i) * n + j, a, b);
  }
};

}  // namespace ranvier::gemm
