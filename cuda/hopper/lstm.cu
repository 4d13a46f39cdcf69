// An LSTM whose recurrent weights never leave the processors: a cluster of eight blocks takes eight
// rows of the batch through all steps. Each block keeps the weights of its share of the units in
// shared memory and the whole state of the rows before the step; what its units become, it stores
// into the memories of all eight, and one barrier of the cluster ends the step. In the backward
// pass the gradients of the gates travel instead. After the persistent kernels of Diamos et al.,
// "Persistent RNNs: stashing recurrent weights on-chip", ICML 2016.
//
// Every sum is one chain in the order of the depth, and cells are those of lstm_impl.h: the bits
// are those of the kernels that go step by step.
#include "cuda/core/cluster.h"
#include "cuda/core/hopper_gemm.h"
#include "cuda/ops/lstm_impl.h"

namespace ranvier::recurrent {
namespace {

constexpr int kCluster = 8, kRows = 8, kClusterThreads = 256;
constexpr int kRowsAtOnce = 4;     // of a thread, per weight that it reads
constexpr int kWords = 227 * 256;  // of shared memory: all that a block can have

// Where things lie in shared memory. `depth` numbers of each row travel, in two buffers by turns;
// a block computes `columns` sums per row.
struct Plan {
  int units, depth, columns;
  int share;  // units of a block
  int pitch;  // of the weights, odd: they are brought along the depth, and meet all banks
  int row;    // from one row to the next
  __host__ __device__ int buffer(int64_t step) const {
    return depth * pitch + static_cast<int>(step % 2) * kRows * row;
  }
  __host__ __device__ int sums() const { return depth * pitch + 2 * kRows * row; }
  __host__ __device__ int words() const { return sums() + kRows * columns; }
};
Plan plan_of(const Places& k, int64_t units, bool backward) {
  const int u = static_cast<int>(units), share = (u + kCluster - 1) / kCluster;
  Plan p = backward ? Plan{u, k.count * u, share, share, share | 1, 0}
                    : Plan{u, u, k.count * share, share, (k.count * share) | 1, 0};
  // Rows lie a share apart in the banks: what units of several rows become is stored side by side.
  // That it is odd keeps apart the rows that lanes read together, kRowsAtOnce from each other.
  p.row = p.depth + (((share | 1) - p.depth) % 32 + 32) % 32;
  return p;
}

// sums[row, j] = sum over d of arrived[row, d] weight[d, j], for all rows of the cluster.
template <class Memory>
__device__ void multiply_rows(Memory& memory, const Plan& p, int from) {
  for (int item = static_cast<int>(threadIdx.x); item < p.columns * (kRows / kRowsAtOnce);
       item += kClusterThreads) {
    const int j = item % p.columns, first = item / p.columns * kRowsAtOnce;
    float sum[kRowsAtOnce] = {};
    for (int d = 0; d < p.depth; ++d) {
      const float w = memory[d * p.pitch + j];
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r)
        sum[r] = fmaf(memory[from + (first + r) * p.row + d], w, sum[r]);
    }
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) memory[p.sums() + (first + r) * p.columns + j] = sum[r];
  }
}

// f(row of the cluster, unit of the block, position in (N, H)) for what this thread owns.
template <class F>
__device__ void each_owned(const Plan& p, int64_t rows, const F& f) {
  const int64_t first = int64_t{blockIdx.x} / kCluster * kRows;
  const int u0 = cluster_rank() * p.share;
  for (int e = static_cast<int>(threadIdx.x); e < kRows * p.share; e += kClusterThreads) {
    const int row = e / p.share, u = e % p.share;
    if (first + row < rows && u0 + u < p.units) f(row, u, (first + row) * p.units + u0 + u);
  }
}

__global__ void __launch_bounds__(kClusterThreads, 1)
    cluster_forward_kernel(ClusterForward f, Plan p) {
  RV_SHARED_LARGE(float, memory, kWords);
  const int u0 = cluster_rank() * p.share, gates = f.k.count;
  const int64_t first_row = int64_t{blockIdx.x} / kCluster * kRows, rows = f.walk.rows;
  for (int e = static_cast<int>(threadIdx.x); e < p.depth * p.columns; e += kClusterThreads) {
    const int j = e / p.depth, d = e % p.depth, g = j / p.share, unit = u0 + j % p.share;
    memory[d * p.pitch + j] =
        unit < p.units ? f.weight[(int64_t{g} * p.units + unit) * p.depth + d] : 0.0f;
  }
  for (int e = static_cast<int>(threadIdx.x); e < kRows * p.depth; e += kClusterThreads) {
    const int64_t row = first_row + e / p.depth;
    const int at = e / p.depth * p.row + e % p.depth;
    memory[p.buffer(0) + at] = row < rows ? or_zero(f.h0, row * p.units + e % p.depth) : 0.0f;
    if (row >= rows) memory[p.buffer(1) + at] = 0.0f;  // nobody sends them
  }
  cluster_barrier();
  const int64_t size = rows * p.units;
  for (int64_t step = 0; step < f.walk.steps; ++step) {
    const int64_t t = f.walk.time(step);
    const int from = p.buffer(step), to = p.buffer(step + 1);
    const bool zeros = step == 0 && !f.h0;
    if (!zeros) multiply_rows(memory, p, from);
    __syncthreads();
    const StepForward<float> cell{f.walk,
                                  f.k,
                                  t,
                                  p.units,
                                  nullptr,
                                  step == 0 ? f.c0 : f.cells + f.walk.time(step - 1) * size,
                                  f.peephole,
                                  f.gates + t * gates * size,
                                  f.cells + t * size,
                                  f.y + t * size,
                                  nullptr,
                                  nullptr};
    each_owned(p, rows, [&](int row, int u, int64_t i) {
      cell.step(i, [&](int g) -> float {
        return zeros ? 0.0f
                     : static_cast<float>(memory[p.sums() + row * p.columns + g * p.share + u]);
      });
      const int at = row * p.row + u0 + u;
      const float state = f.walk.takes_part(first_row + row, t)
                              ? cell.hidden[i]
                              : static_cast<float>(memory[from + at]);
      for (int rank = 0; rank < kCluster; ++rank) cluster_store(memory, rank, to + at, state);
    });
    cluster_barrier();
  }
}

__global__ void __launch_bounds__(kClusterThreads, 1)
    cluster_backward_kernel(ClusterBackward b, Plan p) {
  RV_SHARED_LARGE(float, memory, kWords);
  const int u0 = cluster_rank() * p.share, gates = b.k.count;
  const int64_t first_row = int64_t{blockIdx.x} / kCluster * kRows, rows = b.walk.rows;
  for (int e = static_cast<int>(threadIdx.x); e < p.depth * p.columns; e += kClusterThreads) {
    const int d = e / p.columns, j = e % p.columns, unit = u0 + j;
    memory[d * p.pitch + j] = unit < p.units ? b.weight[int64_t{d} * p.units + unit] : 0.0f;
  }
  for (int e = static_cast<int>(threadIdx.x); e < 2 * kRows * p.depth; e += kClusterThreads)
    if (first_row + e / p.depth % kRows >= rows)
      memory[p.buffer(0) + e / p.depth * p.row + e % p.depth] = 0.0f;
  cluster_barrier();
  const int64_t size = rows * p.units, stride = int64_t{gates} * p.units;
  for (int64_t step = b.walk.steps - 1; step >= 0; --step) {
    const int64_t t = b.walk.time(step);
    const int from = p.buffer(step), to = p.buffer(step + 1);
    const bool last = step == b.walk.steps - 1;
    if (!last) multiply_rows(memory, p, from);
    __syncthreads();
    const Arrive<float> arrive{
        b.walk, t, p.units, nullptr, b.dy ? b.dy + t * size : nullptr, b.carried, b.total};
    const StepBackward<float> cell{b.walk,
                                   b.k,
                                   t,
                                   p.units,
                                   b.total,
                                   b.gates + t * rows * stride,
                                   step == 0 ? b.c0 : b.cells + b.walk.time(step - 1) * size,
                                   b.cells + t * size,
                                   b.peephole,
                                   b.dc,
                                   b.dgates + t * rows * stride};
    each_owned(p, rows, [&](int row, int u, int64_t i) {
      arrive.step(i, last ? 0.0f : static_cast<float>(memory[p.sums() + row * p.columns + u]));
      cell(i);
      for (int g = 0; g < gates; ++g) {
        const int d = g * p.units + u0 + u;
        const float value = cell.dgates[(first_row + row) * stride + d];
        for (int rank = 0; rank < kCluster; ++rank)
          cluster_store(memory, rank, to + row * p.row + d, value);
      }
    });
    cluster_barrier();
  }
}

unsigned blocks_for(const Walk& walk) {
  return static_cast<unsigned>(divide_up(walk.rows, kRows) * kCluster);
}

}  // namespace

bool takes_cluster(const Context& c, const Places& k, int64_t units, bool backward) {
  if (!allowed(Unproven::HopperLstm) || units == 0 || units > 1024) return false;
  if (plan_of(k, units, backward).words() > kWords || !hopper::available(c)) return false;
  // Eight whole processors of one group: a part of a GPU (MIG) may have none that are free
  // together.
  return backward ? cluster_fits(kClusterThreads, kCluster, kWords * 4, cluster_backward_kernel)
                  : cluster_fits(kClusterThreads, kCluster, kWords * 4, cluster_forward_kernel);
}

void cluster_forward(const Context& c, const ClusterForward& f) {
  if (f.walk.rows == 0 || f.walk.steps == 0) return;
  launch_cluster(c, blocks_for(f.walk), kClusterThreads, kCluster, kWords * 4,
                 cluster_forward_kernel, f, plan_of(f.k, f.units, false));
}
void cluster_backward(const Context& c, const ClusterBackward& b) {
  if (b.walk.rows == 0 || b.walk.steps == 0) return;
  launch_cluster(c, blocks_for(b.walk), kClusterThreads, kCluster, kWords * 4,
                 cluster_backward_kernel, b, plan_of(b.k, b.units, true));
}

}  // namespace ranvier::recurrent
