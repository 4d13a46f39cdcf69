#include "ops/random.h"

#include "cuda/core/random.h"
#include "cuda/core/words.h"
#include "cuda/ops/sort_impl.h"

namespace ranvier {
namespace {

__device__ float uniform24(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// r cos(2 pi v) and r sin(2 pi v) with r = sqrt(-2 ln u). The angle is reduced to an eighth of the
// circle first, exactly, so that results near 0 keep their digits.
template <class T>
__device__ void box_muller(uint32_t first, uint32_t second, T* a, T* b) {
  const T u = static_cast<T>((first >> 8) + 1) * T(0x1p-24),
          v = static_cast<T>(second >> 8) * T(0x1p-24);
  const T r = sqrt(log(u) * T(-2)), quarter = rint(v * T(4));
  const T angle = fma(-quarter, T(0.25), v) * T(6.28318530717958648);
  const T c = cos(angle), s = sin(angle);
  const int q = static_cast<int>(quarter);
  const T x = q % 2 ? s : c, y = q % 2 ? c : s;
  *a = r * (q == 1 || q == 2 ? -x : x);  // cos: c, -s, -c, s
  *b = r * (q == 2 || q == 3 ? -y : y);  // sin: s, c, -s, -c
}

// A thread per block of four words.
template <class T>
__global__ void __launch_bounds__(kEachThreads)
    draw_kernel(Generator g, RandomKind kind, int64_t low, int64_t range, int64_t n, T* y) {
  const int64_t step = int64_t{gridDim.x} * kEachThreads;
  const uint64_t seed = g.seed(), offset = g.offset();
  for (int64_t b = int64_t{blockIdx.x} * kEachThreads + threadIdx.x; 4 * b < n; b += step) {
    const RandomWords words = random_words(seed, static_cast<uint64_t>(b), offset);
    T four[4] = {};
    if (kind == RandomKind::Whole) {  // the upper half of range * word / 2^32
      for (int i = 0; i < 4; ++i)
        four[i] = static_cast<T>(
            low + static_cast<int64_t>((static_cast<uint64_t>(range) * words.w[i]) >> 32));
    } else if constexpr (static_cast<T>(0.5) != 0) {
      if (kind == RandomKind::Normal) {
        box_muller(words.w[0], words.w[1], &four[0], &four[1]);
        box_muller(words.w[2], words.w[3], &four[2], &four[3]);
      } else {
        for (int i = 0; i < 4; ++i) four[i] = static_cast<T>(uniform24(words.w[i]));
      }
    }
    put_four(y, 4 * b, n, four);
  }
}

// Fisher and Yates: each step needs the one before, so one thread does it all.
__global__ void permutation_kernel(Generator g, int64_t n, int64_t* y) {
  if (threadIdx.x != 0) return;
  const uint64_t seed = g.seed(), offset = g.offset();
  for (int64_t i = 0; i < n; ++i) y[i] = i;
  for (int64_t i = n - 1, used = 0; i > 0; --i, used += 2) {
    const RandomWords words = random_words(seed, static_cast<uint64_t>(used / 4), offset);
    const int at = static_cast<int>(used % 4);
    const uint64_t low = words.w[at], high = words.w[at + 1], many = static_cast<uint64_t>(i + 1);
    // The upper 64 bits of (high * 2^32 + low) * many, by halves; many is below 2^32 or it is not.
    const uint64_t m0 = many & 0xffffffffu, m1 = many >> 32;
    const uint64_t a = low * m0, b = high * m0, c = low * m1, d = high * m1;
    const uint64_t middle = (a >> 32) + (b & 0xffffffffu) + (c & 0xffffffffu);
    const auto j = static_cast<int64_t>(d + (b >> 32) + (c >> 32) + (middle >> 32));
    const int64_t t = y[i];
    y[i] = y[j];
    y[j] = t;
  }
}

template <class T>
void draw(const RandomArgs& a, const Context& c) {
  const Generator g = generator(a.state);
  const int64_t n = element_count(a.y), blocks = divide_up(divide_up(n, 4), kEachThreads);
  launch(c, static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks), kEachThreads,
         draw_kernel<T>, g, a.kind, a.low, a.range, n, device_data<T>(a.y));
  advance(c, g, divide_up(n, 4));
}

void random(const RandomArgs& a, const Context& c) {
  if (a.kind == RandomKind::Permutation) {
    const Generator g = generator(a.state);
    launch(c, 1, 32, permutation_kernel, g, a.y.shape[0], device_data<int64_t>(a.y));
    return advance(c, g, divide_up(a.y.shape[0], 2));
  }
  switch (a.y.dtype) {
    case DType::Float32:
      return draw<float>(a, c);
    case DType::Float64:
      return draw<double>(a, c);
    default:
      return draw<int64_t>(a, c);
  }
}
RV_DEVICE_KERNEL(random, RandomArgs, random);

// ---- Drawing by weights -------------------------------------------------------------------------

struct Choice {
  int64_t rows, n, k;
  int64_t weight_row, weight_step, uniform_row, uniform_step, choice_row, choice_step;
  const double *weights, *uniforms;
  int64_t* choices;
};

// A warp per row: running sums in the order of the CPU, so that both choose the same, where `sums`
// is given; and whether the weights will do.
__global__ void __launch_bounds__(32)
    weigh_kernel(Choice a, int64_t least, double* sums, const char* op, backend::IndexFlag* flag) {
  const int lane = static_cast<int>(threadIdx.x);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    double total = 0;
    int64_t positive = 0;
    for (int64_t first = 0; first < a.n; first += 32) {
      const int64_t j = first + lane;
      const double w = j < a.n ? a.weights[row * a.weight_row + j * a.weight_step] : 0.0;
      if (!(w >= 0 && w < __builtin_huge_val()) && atomicCAS(&flag->raised, 0, 1) == 0) {
        flag->axis = backend::kWrongWeight;
        flag->number = w;
        flag->position = row;
        flag->op = op;
      }
      for (int from = 0; from < 32; ++from) {
        total += __shfl_sync(0xffffffffu, w, from);
        if (lane == from && sums && j < a.n) sums[row * a.n + j] = total;
      }
      for (uint32_t votes = __ballot_sync(0xffffffffu, w > 0); votes; votes &= votes - 1)
        ++positive;
    }
    const bool enough = positive >= least && total < __builtin_huge_val();
    if (lane == 0 && !enough && atomicCAS(&flag->raised, 0, 1) == 0) {
      flag->axis = backend::kFewWeights;
      flag->low = least;
      flag->value = positive;
      flag->position = row;
      flag->op = op;
    }
  }
}

struct FindSum {  // the first running sum above the uniform's share of the whole
  Choice a;
  const double* sums;
  __device__ void operator()(int64_t e) const {
    const int64_t row = e / a.k, j = e % a.k;
    const double* s = sums + row * a.n;
    const double share = a.uniforms[row * a.uniform_row + j * a.uniform_step] * s[a.n - 1];
    int64_t low = 0, high = a.n - 1;  // the last one, if need be
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (s[middle] > share)
        high = middle;
      else
        low = middle + 1;
    }
    a.choices[row * a.choice_row + j * a.choice_step] = low;
  }
};

struct WaitingTimes {  // see ChoiceArgs: the first k are drawn
  Choice a;
  uint64_t* keys;
  __device__ void operator()(int64_t e) const {
    const int64_t row = e / a.n, j = e % a.n;
    const double w = a.weights[row * a.weight_row + j * a.weight_step];
    const double u = a.uniforms[row * a.uniform_row + j * a.uniform_step];
    keys[e] = sorting::key_of(w > 0 ? -log(1 - u) / w : __builtin_huge_val());
  }
};

struct TakePlaces {
  Choice a;
  sorting::Runs found;
  __device__ void operator()(int64_t e) const {
    const int64_t row = e / a.k, j = e % a.k;
    a.choices[row * a.choice_row + j * a.choice_step] = found.places[row * found.lane + j];
  }
};

void multinomial(const ChoiceArgs& args, const Context& c) {
  const ArrayRef &w = args.weights, &u = args.uniforms, &y = args.choices;
  const Choice a{w.shape[0],
                 w.shape[1],
                 y.shape[1],
                 w.strides[0],
                 w.strides[1],
                 u.strides[0],
                 u.strides[1],
                 y.strides[0],
                 y.strides[1],
                 device_data<double>(w),
                 device_data<double>(u),
                 device_data<int64_t>(y)};
  const auto grid = static_cast<unsigned>(a.rows < kEachBlocks ? a.rows : kEachBlocks);
  const Scratch sums(c, args.replacement ? a.rows * a.n * 8 : 0);
  launch(c, grid, 32, weigh_kernel, a, args.replacement ? int64_t{1} : a.k, sums.as<double>(),
         "multinomial", backend::index_flag());
  if (args.replacement) return each_index(c, a.rows * a.k, FindSum{a, sums.as<double>()});
  sorting::smallest(
      c, a.rows, a.n, a.k,
      [&](uint64_t* keys) { each_index(c, a.rows * a.n, WaitingTimes{a, keys}); },
      [&](const sorting::Runs& found) { each_index(c, a.rows * a.k, TakePlaces{a, found}); });
}
RV_DEVICE_KERNEL(multinomial, ChoiceArgs, multinomial);

}  // namespace
}  // namespace ranvier
