// A convolution and its data gradient by products of warp groups whose pixels bulk copies bring
// (im2col mode): see hopper_ring.h. A step is one tap and 128 bytes of channels; what of these lies
// beyond the last channel comes as zeros, of pixels and filters alike.
#include "cuda/core/hopper_ring.h"
#include "cuda/ops/conv2d_impl.h"

namespace ranvier::convolution {
namespace {

constexpr int kPackThreads = 256;

// Filters as they lie in memory, to a matrix of lines (tap, k) of channels.
template <class T>
__global__ void __launch_bounds__(kPackThreads) pack_taps_kernel(Filters<T> f, T* to) {
  const int64_t count = f.taps * f.lines * f.channels;
  const int64_t step = int64_t{gridDim.x} * kPackThreads;
  for (int64_t e = int64_t{blockIdx.x} * kPackThreads + threadIdx.x; e < count; e += step) {
    const int64_t c = e % f.channels, line = e / f.channels % f.lines;
    const int64_t tap = e / f.channels / f.lines;
    to[e] = f.data[line * f.line_stride + c * f.channel_stride + tap / f.S * f.tap_h +
                   tap % f.S * f.tap_w];
  }
}

struct Columns {
  ImageMap image;
  TensorMap filters;
  Divider rows, cols, pieces, S;  // pieces of 128 bytes of a tap
  int lines, depth;               // filters; channels of a piece
  int lower_h, lower_w, step_h, step_w;
  int offset_h, offset_w, tap_h, tap_w;  // offsets of the first tap, and from tap to tap
  struct At {
    PixelBase base;
    int j;
  };
  __device__ At at(int i, int j) const {
    int64_t q, p;
    const auto n = static_cast<int>(rows.split(cols.split(i, &q), &p));
    return {{0, lower_w + static_cast<int>(q) * step_w, lower_h + static_cast<int>(p) * step_h, n},
            j};
  }
  template <class Tile>
  __device__ void bring(Tile& tile, int to_left, int to_right, int full, const At& at,
                        int step) const {
    int64_t piece, u;
    const auto tap = static_cast<int>(pieces.split(step, &piece));
    const auto t = static_cast<int>(S.split(tap, &u));
    PixelBase base = at.base;
    base.c = static_cast<int>(piece) * depth;
    bulk_load_pixels(tile, to_left, image, full, base, offset_w + static_cast<int>(u) * tap_w,
                     offset_h + t * tap_h);
    // Lines of the next tap may follow the last one of this; their columns are not stored.
    bulk_load(tile, to_right, filters, full, base.c, tap * lines + at.j);
  }
};

}  // namespace

template <class T>
bool hopper_columns(const Context& c, const Patches<T>& left, const Filters<T>& f,
                    const Pixels<T>& out) {
  constexpr Factor kFactor = kFactorOf<T>;
  constexpr int64_t kMost = int64_t{1} << 31, kDepth = 128 / static_cast<int64_t>(sizeof(T));
  const int64_t m = left.count, n = f.lines, taps_h = f.taps / f.S;
  if (f.groups != 1 || f.taps == 0 || !left.whole || f.channels != left.pixel || n == 0)
    return false;
  const int64_t steps = f.taps * divide_up(f.channels, kDepth);
  if (m >= kMost || f.taps * n >= kMost || steps >= kMost) return false;
  gemm::Size size{1, m, n, f.depth(), 1, 0};
  gemm::cut(&size, hopper::kRingRows, 128, 64, true);
  if (size.pieces != 1) return false;  // others cut the depth into pieces

  // Taps may go backwards (data gradient): the base is that of the first one met in memory.
  const auto before = [](int64_t tap, int64_t taps) { return tap < 0 ? -tap * (taps - 1) : 0; };
  const int64_t offset_h = before(left.tap_h, taps_h), offset_w = before(left.tap_w, f.S);
  PixelMap image{};
  image.data = left.data;
  image.images = m / left.rows.by / left.cols.by;
  image.height = left.height, image.width = left.width, image.channels = f.channels;
  image.lower_h = left.from_h - offset_h, image.lower_w = left.from_w - offset_w;
  image.step_h = left.step_h, image.step_w = left.step_w;
  image.upper_h = image.lower_h + (left.rows.by - 1) * image.step_h - (image.height - 1);
  image.upper_w = image.lower_w + (left.cols.by - 1) * image.step_w - (image.width - 1);
  image.pixels = hopper::kRingRows;
  image.factor = kFactor, image.swizzle = Swizzle::Bytes128;
  const auto reach = [](int64_t tap, int64_t taps) { return (tap < 0 ? -tap : tap) * (taps - 1); };
  if (!describable(image) || reach(left.tap_h, taps_h) > kMostOffset ||
      reach(left.tap_w, f.S) > kMostOffset)
    return false;

  const int64_t count = f.taps * n * f.channels;
  const Scratch packed(c, count * static_cast<int64_t>(sizeof(T)));
  const int64_t blocks = divide_up(count, kPackThreads), most = 132 * 16;
  launch(c, static_cast<unsigned>(blocks < most ? blocks : most), kPackThreads, pack_taps_kernel<T>,
         f, packed.template as<T>());
  const auto small = [](int64_t x) { return static_cast<int>(x); };
  const auto factors = [&](int columns) {
    const MatrixMap lines{
        packed.template as<T>(), f.taps * n, f.channels, f.channels, columns, kFactor,
        Swizzle::Bytes128};
    return Columns{hopper::encoded(c, image),
                   hopper::encoded(c, lines),
                   left.rows,
                   left.cols,
                   divide_up(f.channels, kDepth),
                   f.S,
                   small(n),
                   small(kDepth),
                   small(image.lower_h),
                   small(image.lower_w),
                   small(image.step_h),
                   small(image.step_w),
                   small(offset_h),
                   small(offset_w),
                   small(left.tap_h),
                   small(left.tap_w)};
  };
  hopper::ring_product<kFactor>(c, factors, out, m, n, steps);
  return true;
}

#define RV_OF_TYPE(T)                                                                \
  template bool hopper_columns(const Context&, const Patches<T>&, const Filters<T>&, \
                               const Pixels<T>&)
RV_OF_TYPE(float);
RV_OF_TYPE(BFloat16);
RV_OF_TYPE(Float16);
#undef RV_OF_TYPE

}  // namespace ranvier::convolution
