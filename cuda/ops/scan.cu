#include "ops/scan.h"

#include "cuda/ops/walk_impl.h"

namespace ranvier {
namespace {

// Every lane is walked in order: the bits depend on nothing else.
template <class T, class Sum>
struct Scan {
  Lanes<2> lanes;  // of y, x
  int64_t n;
  bool product, reverse;
  T* to;
  const T* from;
  __device__ void operator()(int64_t lane) const {
    int64_t at[2];
    lanes.starts.locate(lane, at);
    Sum running = product ? Sum(1) : Sum(0);
    for (int64_t k = 0; k < n; ++k) {
      const int64_t i = reverse ? n - 1 - k : k;
      const Sum x = static_cast<Sum>(from[at[1] + i * lanes.step[1]]);
      running = product ? running * x : running + x;
      to[at[0] + i * lanes.step[0]] = static_cast<T>(running);
    }
  }
};
// The same walk where the numbers of a lane are neighbours. The bits are those of the other kernel.
constexpr int kScanThreads = 128;
template <class T, class Sum>
__global__ void __launch_bounds__(kScanThreads) scan_rows_kernel(Scan<T, Sum> s) {
  RV_SHARED(T, tile, kScanThreads * walk::kPitch);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int mine = thread * walk::kPitch, all = (thread - lane) * walk::kPitch;
  const int64_t own = int64_t{blockIdx.x} * kScanThreads + thread, count = s.lanes.starts.count;
  const int64_t lanes = count - (own - lane);
  int64_t at[2] = {};
  if (own < count) s.lanes.starts.locate(own, at);
  Sum running = s.product ? Sum(1) : Sum(0);
  for (int64_t k0 = 0; k0 < s.n; k0 += 32) {
    const int64_t k = k0 + lane, i = s.reverse ? s.n - 1 - k : k;
    walk::bring(tile, all, s.from, at[1], lanes, i, k < s.n);
    __syncwarp();
    for (int e = 0; own < count && e < 32 && k0 + e < s.n; ++e) {
      const Sum x = static_cast<Sum>(static_cast<T>(tile[mine + e]));
      running = s.product ? running * x : running + x;
      tile[mine + e] = static_cast<T>(running);
    }
    __syncwarp();
    walk::put(tile, all, s.to, at[0], lanes, i, k < s.n);
    __syncwarp();
  }
}

template <class T, class Sum>
void run(const ScanArgs& a, const Context& c) {
  const Lanes<2> lanes = lanes_of<2>({&a.y, &a.x});
  if (walk::runs(lane_length(a.x), lanes.step[0], lanes.step[1])) {
    if (lanes.starts.count == 0) return;
    launch(c, static_cast<unsigned>(divide_up(lanes.starts.count, kScanThreads)), kScanThreads,
           scan_rows_kernel<T, Sum>,
           Scan<T, Sum>{lanes, lane_length(a.x), a.product, a.reverse, device_data<T>(a.y),
                        device_data<T>(a.x)});
    return;
  }
  each_index(c, lanes.starts.count,
             Scan<T, Sum>{lanes, lane_length(a.x), a.product, a.reverse, device_data<T>(a.y),
                          device_data<T>(a.x)});
}
void scan(const ScanArgs& a, const Context& c) {
  switch (a.x.dtype) {
    case DType::Float32:
      return run<float, double>(a, c);
    case DType::Float64:
      return run<double, double>(a, c);
    default:  // unsigned: an overflow wraps around, as in NumPy
      return run<uint64_t, uint64_t>(a, c);
  }
}
RV_DEVICE_KERNEL(scan, ScanArgs, scan);

template <class T>
struct ProductGradient {
  Lanes<3> lanes;  // of dx, x, grad
  int64_t n;
  T* to;
  const T *grad, *from;
  __device__ void operator()(int64_t lane) const {
    int64_t at[3];
    lanes.starts.locate(lane, at);
    T* dx = to + at[0];
    const T *x = from + at[1], *g = grad + at[2];
    const int64_t ds = lanes.step[0], xs = lanes.step[1], gs = lanes.step[2];
    double after = 0;
    for (int64_t i = n - 1; i >= 0; --i) {
      after = static_cast<double>(g[i * gs]) +
              (i + 1 < n ? static_cast<double>(x[(i + 1) * xs]) * after : 0.0);
      dx[i * ds] = static_cast<T>(after);
    }
    double before = 1;
    for (int64_t i = 0; i < n; ++i) {
      dx[i * ds] = static_cast<T>(before * static_cast<double>(dx[i * ds]));
      before *= static_cast<double>(x[i * xs]);
    }
  }
};
template <class T>
void gradient(const CumprodBackwardArgs& a, const Context& c) {
  const Lanes<3> lanes = lanes_of<3>({&a.dx, &a.x, &a.grad});
  const int64_t n = lane_length(a.x);
  if (walk::runs(n, lanes.step[0], lanes.step[1]) && lanes.step[2] == 1) {
    walk::product_rows<T, true>(c, lanes.starts, n, device_data<T>(a.dx), device_data<T>(a.x),
                                device_data<T>(a.grad));
    return;
  }
  each_index(c, lanes.starts.count,
             ProductGradient<T>{lanes, n, device_data<T>(a.dx), device_data<T>(a.grad),
                                device_data<T>(a.x)});
}
void cumprod_backward(const CumprodBackwardArgs& a, const Context& c) {
  a.dx.dtype == DType::Float64 ? gradient<double>(a, c) : gradient<float>(a, c);
}
RV_DEVICE_KERNEL(cumprod_backward, CumprodBackwardArgs, cumprod_backward);

}  // namespace
}  // namespace ranvier
