#include "ops/random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/bind.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/program.h"
#include "ops/lanes_impl.h"

namespace ranvier {

RV_KERNEL(random, RandomArgs);

namespace {

void check_state(const Array& state) {
  RV_CHECK(state.dtype() == DType::Int64 && state.shape() == Dims{2}, "random", Type,
           "expected a generator state of two int64, got ", state.dtype(), " of shape ",
           state.shape());
}

Array draw(const char* op, const Dims& shape, DType dtype, Device device, const Array& state,
           RandomKind kind, int64_t low = 0, int64_t range = 0) {
  check_state(state);
  Array y = Array::empty(shape, dtype, device, op);
  if (y.size() > 0 && !y.is_meta()) random({out(y), inout(state), kind, low, range});
  return y;
}

Array floats(const char* op, const Dims& shape, int dtype, int device, const Array& state,
             RandomKind kind) {
  auto t = static_cast<DType>(dtype);
  DType compute = t == DType::Float64 ? t : DType::Float32;
  RV_CHECK(is_floating(t), op, Type, "expected a floating dtype, got ", t);
  return draw(op, shape, compute, device_of(device), state, kind).cast(t);
}

void choose(const ChoiceArgs& args) {
  const int64_t rows = args.weights.shape[0], n = args.weights.shape[1];
  const int64_t k = args.choices.shape[1];
  auto row = [](const ArrayRef& r, int64_t i) { return i * r.strides[0]; };
  auto weight = [&](int64_t i, int64_t j) {
    return lanes::data<double>(args.weights)[row(args.weights, i) + j * args.weights.strides[1]];
  };
  for (int64_t i = 0; i < rows; ++i) {  // a replayed step checks its weights as well
    double total = 0;
    int64_t positive = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double w = weight(i, j);
      RV_CHECK(w >= 0 && std::isfinite(w), "multinomial", Value, "expected weights from 0 up, got ",
               w, " in row ", i);
      total += w;
      positive += w > 0;
    }
    RV_CHECK(std::isfinite(total) && positive >= (args.replacement ? 1 : k), "multinomial", Value,
             "expected at least ", args.replacement ? 1 : k, " weights above 0, got ", positive,
             " in row ", i);
  }
  lanes::split(rows, 8 * n, [&](int64_t first, int64_t last) {
    std::vector<double> sums(static_cast<size_t>(n));
    std::vector<std::pair<double, int64_t>> keys(args.replacement ? 0 : static_cast<size_t>(n));
    for (int64_t i = first; i < last; ++i) {
      const double* u = lanes::data<double>(args.uniforms) + row(args.uniforms, i);
      int64_t* y = lanes::data<int64_t>(args.choices) + row(args.choices, i);
      const int64_t us = args.uniforms.strides[1], ys = args.choices.strides[1];
      if (args.replacement) {
        double total = 0;
        for (int64_t j = 0; j < n; ++j) sums[static_cast<size_t>(j)] = total += weight(i, j);
        for (int64_t j = 0; j < k; ++j)
          y[j * ys] = std::upper_bound(sums.begin(), sums.end(), u[j * us] * total) - sums.begin();
      } else {
        for (int64_t j = 0; j < n; ++j) {  // negated: the smallest first, of equal ones the first
          const double w = weight(i, j), never = std::numeric_limits<double>::infinity();
          keys[static_cast<size_t>(j)] = {w > 0 ? -std::log(1 - u[j * us]) / w : never, j};
        }
        std::partial_sort(keys.begin(), keys.begin() + k, keys.end());
        for (int64_t j = 0; j < k; ++j) y[j * ys] = keys[static_cast<size_t>(j)].second;
      }
    }
  });
}

RV_PLAIN_KERNEL(multinomial, ChoiceArgs, choose);

// k positions for each row of weights, (n) or (rows, n).
Array choices(const Array& weights, int64_t k, bool replacement, const Array& state) {
  const char* op = "multinomial";
  RV_CHECK(is_floating(weights.dtype()), op, Type, "expected floating weights, got ",
           weights.dtype());
  RV_CHECK(weights.ndim() == 1 || weights.ndim() == 2, op, Value,
           "expected weights of shape (n) or (rows, n), got ", weights.shape());
  const int64_t n = weights.shape(-1), rows = weights.ndim() == 2 ? weights.shape(0) : 1;
  RV_CHECK(k >= 1 && n >= 1 && (replacement || k <= n), op, Value,
           "expected at least one draw, and at most the ", n,
           " weights when none is drawn twice, got ", k, replacement ? "" : " - replacement=True?");
  const Array w = weights.cast(DType::Float64).reshape({rows, n});
  const Array u =
      draw(op, {rows, replacement ? k : n}, DType::Float64, w.device(), state, RandomKind::Uniform);
  Array y = Array::empty({rows, k}, DType::Int64, w.device(), op);
  if (y.size() > 0) multinomial({in(w), in(u), out(y), replacement});
  return weights.ndim() == 2 ? y : y.reshape({k});
}

// Probabilities of `bernoulli`. They are looked at where they can be: not on "meta", and not while
// a step is captured, whose first call was eager.
void check_probabilities(const Array& p) {
  RV_CHECK(is_floating(p.dtype()), "bernoulli", Type,
           "expected probabilities of a floating dtype, got ", p.dtype(),
           " - convert them with .to(rv.float32)");
  if (p.is_meta() || Recorder::current()) return;
  const Array host = to_host(p.cast(DType::Float64).contiguous());
  const auto* values = host.data<double>();
  for (int64_t i = 0; i < host.size(); ++i) {
    RV_CHECK(values[i] >= 0 && values[i] <= 1, "bernoulli", Value,
             "expected probabilities from 0 to 1, got ", values[i],
             " - a sigmoid or a clip keeps them there");
  }
}

}  // namespace

RV_BIND(m) {
  m.def("check_probabilities", &check_probabilities, RV_NOGIL, "p"_a);
  m.def("multinomial", &choices, RV_NOGIL, "weights"_a, "k"_a, "replacement"_a, "state"_a);
  m.def(
      "random_uniform",
      [](const Dims& shape, int dtype, int device, const Array& state) {
        return floats("rand", shape, dtype, device, state, RandomKind::Uniform);
      },
      RV_NOGIL, "shape"_a, "dtype"_a, "device"_a, "state"_a);
  m.def(
      "random_normal",
      [](const Dims& shape, int dtype, int device, const Array& state) {
        return floats("randn", shape, dtype, device, state, RandomKind::Normal);
      },
      RV_NOGIL, "shape"_a, "dtype"_a, "device"_a, "state"_a);
  m.def(
      "random_whole",
      [](int64_t low, int64_t high, const Dims& shape, int device, const Array& state) {
        RV_CHECK(low < high && high - low <= int64_t{1} << 32, "randint", Value,
                 "expected low below high, at most 2^32 apart, got ", low, " and ", high);
        return draw("randint", shape, DType::Int64, device_of(device), state, RandomKind::Whole,
                    low, high - low);
      },
      RV_NOGIL, "low"_a, "high"_a, "shape"_a, "device"_a, "state"_a);
  m.def(
      "random_permutation",
      [](int64_t n, int device, const Array& state) {
        return draw("randperm", Dims{n}, DType::Int64, device_of(device), state,
                    RandomKind::Permutation);
      },
      RV_NOGIL, "n"_a, "device"_a, "state"_a);
}

}  // namespace ranvier
