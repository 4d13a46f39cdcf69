// The host twins of cuda/core/hopper.h.
#include "cuda/core/emulated_hopper.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "core/check.h"
#include "cuda/core/emulated_device.h"
#include "cuda/core/hopper.h"
#include "cuda/core/traffic.h"

namespace ranvier::emulation {
namespace {

struct Counter {  // a barrier in shared memory
  int arrivals = 0, left = 0;
  int64_t bytes = 0;  // announced, and not there yet
  int phase = 0;      // how many are complete
  int maker = -1;     // the thread that initialized it, and when
  uint32_t made = 0;
};

struct Bulk {  // a box that has not landed
  struct Row {
    const char* from;     // its 128 bytes, of which some may lie outside
    int64_t first, last;  // the numbers that are there: zeros before and after
  };
  const Segment* segment;
  int64_t to, at;
  Factor factor;
  Swizzle swizzle;
  std::vector<Row> rows;
};

struct Issued {  // a product that has not been waited for
  const Segment* segment;
  Factor factor;
  float* d;
  int columns;
  uint64_t a, b;
};

struct Thread {
  std::vector<Issued> open;  // of the group that is not closed yet
  std::vector<std::vector<Issued>> groups;
  size_t issues = 0;  // products since the start
};

using Descriptors = std::array<uint64_t, 2>;

// Of the block that runs.
std::map<int64_t, Counter> g_counters;  // by their word of the large array
std::vector<Bulk> g_bulks;              // on their way
std::vector<Thread> g_threads;
std::map<int, std::vector<Descriptors>> g_given;  // by warp group: what its products were given

Thread& mine() { return g_threads[static_cast<size_t>(thread())]; }

void check_alone() {
  if (cluster_size() > 1) stop("bulk copies and warp-group products of clusters are not emulated");
}

Counter& counter(const Segment& s, int64_t at) {
  auto found = g_counters.find(at);
  if (found == g_counters.end())
    stop("a barrier at word %lld of the shared array at %s, which nobody initialized",
         static_cast<long long>(at), text_of(s.site).c_str());
  Counter& c = found->second;
  if (c.maker != thread() && c.made == barriers_passed())
    stop("a barrier at word %lld that thread %d initialized, without a __syncthreads since",
         static_cast<long long>(at), c.maker);
  return c;
}

// The phase ends with its last arrival and byte. What is wrong with it, or nothing.
std::string settle(Counter& c) {
  if (c.left < 0) return text("a barrier has more arrivals than the ", c.arrivals, " of its phase");
  if (c.left > 0 || c.bytes > 0) return "";
  if (c.bytes < 0) return "a barrier has met more bytes than were announced";
  ++c.phase;
  c.left = c.arrivals;
  return "";
}

int64_t swizzled(int64_t byte, Swizzle swizzle) {
  return swizzle == Swizzle::Bytes128 ? byte ^ (byte >> 7 & 7) << 4 : byte;
}

int item_of(Factor factor) { return factor == Factor::Tf32 ? 4 : 2; }

// To nearest, ties to even; see hopper.h. "cut" shows what were if it were not.
uint32_t as_tf32(uint32_t bits) {
  if (g_schedule.cut_tf32 || (bits & 0x7f800000u) == 0x7f800000u) return bits & ~0x1fffu;
  return (bits + 0xfffu + (bits >> 13 & 1)) & ~0x1fffu;
}

std::string land(const Bulk& b) {
  const int item = item_of(b.factor), columns = 128 / item;
  int64_t row_at = b.to * 4;
  for (const Bulk::Row& row : b.rows) {
    for (int k = 0; k < columns; ++k) {
      uint32_t value = 0;
      if (k >= row.first && k < row.last)
        memcpy(&value, row.from + k * item, static_cast<size_t>(item));
      if (item == 4) value = as_tf32(value);
      const int64_t byte = swizzled(row_at + k * item, b.swizzle);
      memcpy(b.segment->data + byte, &value, static_cast<size_t>(item));
      Trace& t = b.segment->traces[byte / 4];
      t = Trace{};
      t.writer = kBulkCopy;
    }
    row_at += 128;
  }
  Counter& c = g_counters.at(b.at);
  c.bytes -= static_cast<int64_t>(b.rows.size()) * 128;
  return settle(c);
}

void check_range(const Segment& s, int64_t from, int64_t count, const char* what) {
  if (from < 0 || from + count > s.count)
    stop("%s at words %lld to %lld of the shared array at %s, which has %lld", what,
         static_cast<long long>(from), static_cast<long long>(from + count - 1),
         text_of(s.site).c_str(), static_cast<long long>(s.count));
}

// Number k of the depth in a row, where a descriptor says that it is.
float factor_at(const Issued& p, uint64_t descriptor, int row, int k) {
  const int item = item_of(p.factor);
  const auto start = static_cast<int64_t>(descriptor & 0x3fff) << 4;
  const auto group = static_cast<int64_t>(descriptor >> 32 & 0x3fff) << 4;
  const auto pattern = descriptor >> 62 == 1 ? Swizzle::Bytes128 : Swizzle::None;
  const int64_t byte = swizzled(start + row / 8 * group + row % 8 * 128 + k * item, pattern);
  check_read(*p.segment, byte / 4);
  const Trace& t = p.segment->traces[byte / 4];
  if (!is_shown(t))
    stop(
        "a product of a warp group reads word %lld of the shared array at %s, which thread %d "
        "stored without fence_proxy since",
        static_cast<long long>(byte / 4), text_of(p.segment->site).c_str(), t.writer);
  if (item == 4) {
    uint32_t bits;
    memcpy(&bits, p.segment->data + byte, 4);
    return __uint_as_float(bits & ~0x1fffu);  // the upper 19 bits
  }
  uint16_t bits;
  memcpy(&bits, p.segment->data + byte, 2);
  return p.factor == Factor::BFloat16 ? to_float32(BFloat16{bits}) : to_float32(Float16{bits});
}

// This thread's part of a product.
void take(const Issued& p) {
  const int me = thread() % 128, lane = me % 32, depth = p.factor == Factor::Tf32 ? 8 : 16;
  float a[2][16];
  for (int half = 0; half < 2; ++half)
    for (int k = 0; k < depth; ++k)
      a[half][k] = factor_at(p, p.a, me / 32 * 16 + lane / 4 + half * 8, k);
  for (int j = 0; j < p.columns / 8; ++j)
    for (int side = 0; side < 2; ++side)
      for (int k = 0; k < depth; ++k) {
        const float b = factor_at(p, p.b, 8 * j + 2 * (lane % 4) + side, k);
        for (int half = 0; half < 2; ++half) p.d[4 * j + 2 * half + side] += a[half][k] * b;
      }
}

}  // namespace

void start_hopper_block(int threads) {
  g_counters.clear();
  g_bulks.clear();
  g_given.clear();
  g_threads.assign(static_cast<size_t>(threads), Thread{});
}

bool land_one_bulk_copy() {
  if (g_bulks.empty()) return false;
  const Bulk b = g_bulks.front();
  g_bulks.erase(g_bulks.begin());
  const std::string wrong = land(b);
  if (!wrong.empty()) complain(wrong);
  return true;
}

void barrier_start(const Segment& s, int64_t at, int arrivals) {
  check_alone();
  if (at % 2 != 0) stop("a barrier at word %lld, which is not aligned", static_cast<long long>(at));
  check_range(s, at, 2, "a barrier");
  Counter c;
  c.arrivals = c.left = arrivals;
  c.maker = thread();
  c.made = barriers_passed();
  g_counters[at] = c;
}

void barrier_count(const Segment& s, int64_t at, int arrivals, int64_t bytes) {
  Counter& c = counter(s, at);
  c.bytes += bytes;
  c.left -= arrivals;
  const std::string wrong = settle(c);
  if (!wrong.empty()) stop("%s", wrong.c_str());
}

void barrier_park(const Segment& s, int64_t at, int parity, Site site) {
  counter(s, at);
  park({[](int64_t at, int parity) { return g_counters.at(at).phase % 2 != parity; }, at, parity},
       site);
}

namespace {

// Until it lands nobody may read what was there, nor anything else.
void set_out(const Bulk& b) {
  const Segment& s = *b.segment;
  counter(s, b.at);
  if (b.to * 4 % 1024 != 0)
    stop("a box goes to word %lld, where no pattern of 1024 bytes begins",
         static_cast<long long>(b.to));
  const int64_t words = static_cast<int64_t>(b.rows.size()) * 32;
  check_range(s, b.to, words, "a bulk copy");
  for (int64_t w = b.to; w < b.to + words; ++w) s.traces[w] = Trace{};
  memset(s.data + b.to * 4, 0xff, static_cast<size_t>(words) * 4);
  if (g_schedule.late_copies) {
    g_bulks.push_back(b);
    return;
  }
  const std::string wrong = land(b);
  if (!wrong.empty()) stop("%s", wrong.c_str());
}

// The global side; without conflicts in shared memory, and not read by the lanes of the warp.
void tell_watcher(const Bulk& b, const void* place) {
  for (const Bulk::Row& row : b.rows) {
    const int item = item_of(b.factor);
    const int64_t first = std::max<int64_t>(row.first, 0),
                  last = std::min<int64_t>(row.last, 128 / item);
    if (first < last)
      g_watcher->touch(g_thread, place, row.from + first * item,
                       static_cast<int>(last - first) * item, Access::GlobalRead);
  }
}

}  // namespace

void bulk_copy(const Segment& s, int64_t to, const MatrixMap& map, int64_t at, int x, int y) {
  const int item = item_of(map.factor);
  if (reinterpret_cast<uintptr_t>(map.data) % 16 != 0 || map.row_stride * item % 16 != 0)
    stop("a bulk copy from addresses that are not aligned to 16 bytes");
  Bulk b{&s, to, at, map.factor, map.swizzle, {}};
  for (int64_t row = y; row < y + map.box_rows; ++row) {
    const int64_t last = row >= 0 && row < map.rows ? map.columns - x : 0;
    b.rows.push_back(
        {static_cast<const char*>(map.data) + (row * map.row_stride + x) * item, -x, last});
  }
  if (g_watcher) tell_watcher(b, __builtin_return_address(0));
  set_out(b);
}

void bulk_copy_pixels(const Segment& s, int64_t to, const PixelMap& map, int64_t at, PixelBase base,
                      int offset_w, int offset_h) {
  if (!describable(map) || reinterpret_cast<uintptr_t>(map.data) % 16 != 0)
    stop("a bulk copy of pixels that the driver would not describe");
  const int64_t end_h = map.height + map.upper_h, end_w = map.width + map.upper_w;
  if (base.h < map.lower_h || base.h >= end_h || base.w < map.lower_w || base.w >= end_w)
    stop("a bulk copy of pixels from (%d, %d), outside of their box, which goes to (%lld, %lld)",
         base.h, base.w, static_cast<long long>(end_h - 1), static_cast<long long>(end_w - 1));
  if (offset_w < 0 || offset_h < 0 || offset_w > kMostOffset || offset_h > kMostOffset)
    stop("a bulk copy of pixels at an offset of (%d, %d), which does not fit", offset_h, offset_w);
  Bulk b{&s, to, at, map.factor, map.swizzle, {}};
  int64_t n = base.n, h = base.h, w = base.w;
  for (int e = 0; e < map.pixels; ++e) {
    const int64_t row = h + offset_h, column = w + offset_w;
    const bool inside = n >= 0 && n < map.images && row >= 0 && row < map.height && column >= 0 &&
                        column < map.width;
    const int64_t pixel = (n * map.height + row) * map.width + column;
    b.rows.push_back(
        {static_cast<const char*>(map.data) + (pixel * map.channels + base.c) * item_of(map.factor),
         -base.c, inside ? map.channels - base.c : 0});
    w += map.step_w;
    if (w < end_w) continue;
    w = map.lower_w;
    h += map.step_h;
    if (h < end_h) continue;
    h = map.lower_h;
    ++n;
  }
  if (g_watcher) tell_watcher(b, __builtin_return_address(0));
  set_out(b);
}

void group_product(const Segment& s, Factor factor, float* d, int columns, uint64_t a, uint64_t b,
                   Site site) {
  check_alone();
  if (product_fails(columns)) stop("a product of a warp group fails, as told");
  const Descriptors given{a, b};
  const Exchange& e = gather(0xffffffffu, &given, sizeof given, site);
  std::vector<Descriptors>& group = g_given[thread() / 128];
  Thread& t = mine();
  if (t.issues == group.size()) group.push_back(given);
  if (lane_value<Descriptors>(e, 0) != given || group[t.issues] != given)
    stop("the threads of a warp group give different matrices at %s", text_of(site).c_str());
  ++t.issues;
  const Issued p{&s, factor, d, columns, a, b};
  if (g_schedule.late_copies)
    t.open.push_back(p);
  else
    take(p);
}

void group_commit() {
  Thread& t = mine();
  t.groups.push_back(std::move(t.open));
  t.open.clear();
}

void group_wait(int newest, Site site) {
  Thread& t = mine();
  while (static_cast<int>(t.groups.size()) > newest) {
    for (const Issued& p : t.groups.front()) take(p);
    t.groups.erase(t.groups.begin());
  }
  gather(0xffffffffu, &newest, sizeof newest, site);  // a warp goes on as one
}

}  // namespace ranvier::emulation
