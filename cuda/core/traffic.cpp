// Counts the memory traffic of emulated kernels: the library `traffic` compiles them with the hooks
// of the thread sanitizer (a call for each load and store) and of coverage (a call for each basic
// block), but without their runtimes: the hooks are here.
//
// Threads run one after another, a warp executes together. What its lanes did is kept until all of
// them come to one place (a barrier, a collective, the end), then replayed: of the lanes' next
// events, those at the lowest address of the code go first, together; deeper calls before others.
// That is how lanes that took different ways meet again, since compilers put what follows behind,
// mostly: see leader_of.
// Each load or store by the lanes that are at it is a request, and costs
//
//   global memory   the sectors of 32 bytes that it touches; least possible: its distinct bytes /
//   32 shared memory   for each of 32 banks of 4 bytes the distinct words asked for, the most of
//   all
//                   banks; 8 bytes a lane go in two halves of a warp, 16 in four quarters
//
// Reads go through a model of the first-level cache: 128 bytes for each thread of the block, which
// begins empty with each block. What misses it has moved. All of it is counted from what kernels
// do, nothing is timed; a compiler for GPUs may join scalar accesses that stay apart here.
#include "cuda/core/traffic.h"

#include <dlfcn.h>
#include <stdio.h>

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/check.h"

namespace ranvier::emulation {
namespace {

constexpr int kMostThreads = 8 * 1024;  // of a cluster
constexpr int kSector = 32;

struct Event {
  // Depth of calls, the deepest least, above the address of the code.
  uint64_t order;
  // What it touched: 48 bits of address, 8 of bytes, 8 of Access.
  uint64_t what;

  uint64_t place() const { return order & ((uint64_t{1} << 48) - 1); }
  uint64_t address() const { return what & ((uint64_t{1} << 48) - 1); }
  int bytes() const { return static_cast<int>(what >> 48 & 0xff); }
  Access access() const { return static_cast<Access>(what >> 56); }
};

struct Thread {
  std::vector<Event> events;
  uint64_t depth = 0;
};

// What one instruction has cost so far. Units: sectors, or passes over the banks.
struct Cost {
  uint64_t requests = 0, lanes = 0, bytes = 0, units = 0, least = 0;
};

// The least recently used of four sectors of a set gives way.
class Cache {
 public:
  void clear(size_t sectors) {
    sets_.assign(std::max<size_t>(1, sectors / 4), Set{});
    clock_ = 0;
  }
  bool holds(uint64_t sector) {  // from now on it does
    Set& set = sets_[sector % sets_.size()];
    size_t oldest = 0;
    for (size_t i = 0; i < set.size(); ++i) {
      if (set[i].used && set[i].sector == sector) {
        set[i].used = ++clock_;
        return true;
      }
      if (set[i].used < set[oldest].used) oldest = i;
    }
    set[oldest] = {sector, ++clock_};
    return false;
  }

 private:
  struct Way {
    uint64_t sector = 0, used = 0;
  };
  using Set = std::array<Way, 4>;
  std::vector<Set> sets_;
  uint64_t clock_ = 0;
};

// Which bytes of device memory were touched: a bit each, by pages of 128 sectors.
class Touched {
 public:
  void add(uint64_t sector, uint32_t bytes) {
    if (sector / kPageSectors != last_ || !page_) {
      last_ = sector / kPageSectors;
      std::unique_ptr<Page>& p = pages_[last_];
      if (!p) p = std::make_unique<Page>();
      page_ = p.get();
    }
    (*page_)[sector % kPageSectors] |= bytes;
  }
  void count(uint64_t& sectors, uint64_t& bytes) const {
    sectors = bytes = 0;
    for (const auto& [at, page] : pages_)
      for (uint32_t mask : *page) {
        sectors += mask != 0;
        bytes += static_cast<uint64_t>(__builtin_popcount(mask));
      }
  }
  void clear() {
    pages_.clear();
    page_ = nullptr;
  }

 private:
  static constexpr uint64_t kPageSectors = 128;
  using Page = std::array<uint32_t, kPageSectors>;
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t last_ = 0;
  Page* page_ = nullptr;
};

struct Lane {  // of a request
  uint64_t address;
  int bytes, number;
};

class Counter final : public Watcher {
 public:
  Counter() : threads_(kMostThreads) {}

  bool counts() const { return file_ != nullptr; }

  void begin(const char* kernel, const void* code, dim3 grid, dim3 block) override {
    kernel_ = kernel;
    code_ = code;
    grid_ = grid;
    block_ = static_cast<int>(block.x * block.y * block.z);
    costs_.clear();
    read_.clear();
    written_.clear();
    moved_ = 0;
    for (Thread& t : threads_) t.events.clear(), t.depth = 0;
  }

  void begin_block(int rank) override {
    if (counts()) caches_[static_cast<size_t>(rank)].clear(static_cast<size_t>(block_) * 4);
  }

  void touch(int thread, const void* place, const void* address, int bytes,
             Access access) override {
    if (!counts() || thread < 0) return;
    Thread& t = threads_[static_cast<size_t>(thread)];
    const uint64_t mask = (uint64_t{1} << 48) - 1;
    t.events.push_back({(255 - t.depth) << 48 | (reinterpret_cast<uint64_t>(place) & mask),
                        (reinterpret_cast<uint64_t>(address) & mask) |
                            static_cast<uint64_t>(bytes) << 48 |
                            static_cast<uint64_t>(access) << 56});
  }

  void call(int change) {
    if (g_thread >= 0)
      threads_[static_cast<size_t>(g_thread)].depth += static_cast<uint64_t>(change);
  }

  void settle(int thread) override {
    const size_t first = static_cast<size_t>(thread) / 32 * 32, rank = first / 1024;
    std::array<size_t, 32> at{};
    for (int leader; (leader = leader_of(first, at)) >= 0;) {
      const auto lead = static_cast<size_t>(leader);
      const Event now = threads_[first + lead].events[at[lead]];
      lanes_.clear();
      for (size_t l = 0; l < 32; ++l) {
        const std::vector<Event>& events = threads_[first + l].events;
        if (at[l] == events.size()) continue;
        const Event& e = events[at[l]];
        if (e.order != now.order || e.access() != now.access()) continue;
        ++at[l];
        lanes_.push_back({e.address(), e.bytes(), static_cast<int>(l)});
      }
      if (now.access() != Access::None) request(now, rank);
    }
    for (size_t l = 0; l < 32; ++l) threads_[first + l].events.clear();
  }

  void end(bool sound) override {
    if (counts() && sound) report();
  }

  void write_to(const std::string& path) override {
    if (file_) fclose(file_);
    file_ = nullptr;
    if (path.empty()) return;
    file_ = fopen(path.c_str(), "a");
    RV_CHECK(file_, "emulation", Runtime, "expected a file that can be written, got ", path);
  }

 private:
  bool done(size_t thread, size_t at) const { return at == threads_[thread].events.size(); }
  // Whether the thread comes to a place within its next events.
  bool comes_to(size_t thread, size_t at, uint64_t order) const {
    const std::vector<Event>& events = threads_[thread].events;
    const size_t end = std::min(events.size(), at + 64);
    for (; at < end; ++at)
      if (events[at].order == order) return true;
    return false;
  }
  // The lane that goes first, with those that are where it is. Not one that others are on their way
  // to, from a place that it does not come to: a branch that was put behind the code that follows.
  int leader_of(size_t first, const std::array<size_t, 32>& at) const {
    int leader = -1;
    auto order = [&](size_t l) { return threads_[first + l].events[at[l]].order; };
    for (size_t l = 0; l < 32; ++l)
      if (!done(first + l, at[l]) && (leader < 0 || order(l) < order(static_cast<size_t>(leader))))
        leader = static_cast<int>(l);
    for (int changes = 0; leader >= 0 && changes < 8; ++changes) {
      const auto lead = static_cast<size_t>(leader);
      size_t l = 0;
      for (; l < 32; ++l)
        if (!done(first + l, at[l]) && order(l) != order(lead) &&
            comes_to(first + l, at[l], order(lead)) && !comes_to(first + lead, at[lead], order(l)))
          break;
      if (l == 32) break;
      leader = static_cast<int>(l);
    }
    return leader;
  }

  void request(const Event& e, size_t rank) {
    Cost& c = costs_[e.place() << 3 | static_cast<uint64_t>(e.access())];
    ++c.requests;
    c.lanes += lanes_.size();
    const bool read = e.access() == Access::GlobalRead;
    if (read || e.access() == Access::GlobalWrite)
      global(c, read, rank);
    else
      shared(c);
  }

  void global(Cost& c, bool read, size_t rank) {
    parts_.clear();  // (sector, its bytes), one for each lane and sector
    for (const Lane& lane : lanes_)
      for (uint64_t a = lane.address, end = a + static_cast<uint64_t>(lane.bytes); a < end;) {
        const uint64_t stop = std::min(end, a / kSector * kSector + kSector);
        const uint32_t bits = stop - a == kSector ? ~0u : ((1u << (stop - a)) - 1) << a % kSector;
        if (!parts_.empty() && parts_.back().first == a / kSector)
          parts_.back().second |= bits;
        else
          parts_.emplace_back(a / kSector, bits);
        a = stop;
      }
    std::sort(parts_.begin(), parts_.end());
    uint64_t bytes = 0;
    for (size_t i = 0; i < parts_.size();) {
      const uint64_t sector = parts_[i].first;
      uint32_t bits = 0;
      for (; i < parts_.size() && parts_[i].first == sector; ++i) bits |= parts_[i].second;
      ++c.units;
      bytes += static_cast<uint64_t>(__builtin_popcount(bits));
      (read ? read_ : written_).add(sector, bits);
      if (read && !caches_[rank].holds(sector)) ++moved_;
    }
    c.bytes += bytes;
    c.least += (bytes + kSector - 1) / kSector;
  }

  void shared(Cost& c) {
    int width = 1;
    for (const Lane& lane : lanes_) width = std::max(width, lane.bytes);
    const int phases = std::max(1, width / 4), lanes = 32 / phases;
    for (int phase = 0; phase < phases; ++phase) {
      words_.clear();
      for (const Lane& lane : lanes_)
        if (lane.number / lanes == phase)
          for (uint64_t w = lane.address / 4;
               w <= (lane.address + static_cast<uint64_t>(lane.bytes) - 1) / 4; ++w)
            words_.push_back(w);
      if (words_.empty()) continue;
      std::sort(words_.begin(), words_.end());
      words_.erase(std::unique(words_.begin(), words_.end()), words_.end());
      std::array<uint64_t, 32> banks{};
      for (uint64_t w : words_) ++banks[w % 32];
      c.bytes += 4 * words_.size();
      c.units += *std::max_element(banks.begin(), banks.end());
      c.least += (words_.size() + 31) / 32;
    }
  }

  // One launch, one line of JSON.
  void report() {
    Dl_info library{};
    dladdr(code_, &library);
    const auto base = reinterpret_cast<uint64_t>(library.dli_fbase);
    auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
    uint64_t sectors, bytes;
    fprintf(file_, "{\"kernel\": \"%s\", \"code\": %llu, \"grid\": [%u, %u, %u], \"block\": %d",
            kernel_, number(reinterpret_cast<uint64_t>(code_) - base), grid_.x, grid_.y, grid_.z,
            block_);
    read_.count(sectors, bytes);
    fprintf(file_, ", \"read\": {\"moved\": %llu, \"sectors\": %llu, \"bytes\": %llu}",
            number(moved_), number(sectors), number(bytes));
    written_.count(sectors, bytes);
    uint64_t stores = 0;
    for (const auto& [key, c] : costs_)
      if (static_cast<Access>(key & 7) == Access::GlobalWrite) stores += c.units;
    fprintf(file_,
            ", \"written\": {\"moved\": %llu, \"sectors\": %llu, \"bytes\": %llu}, \"places\": [",
            number(stores), number(sectors), number(bytes));
    const char* names[] = {"", "global read", "global write", "shared read", "shared write"};
    const char* comma = "";
    for (const auto& [key, c] : costs_) {
      fprintf(file_, "%s[%llu, \"%s\", %llu, %llu, %llu, %llu, %llu]", comma,
              number((key >> 3) - base), names[key & 7], number(c.requests), number(c.lanes),
              number(c.bytes), number(c.units), number(c.least));
      comma = ", ";
    }
    fprintf(file_, "]}\n");
    fflush(file_);
  }

  FILE* file_ = nullptr;
  const char* kernel_ = "";
  const void* code_ = nullptr;
  dim3 grid_;
  int block_ = 0;
  std::vector<Thread> threads_;
  std::array<Cache, 8> caches_;
  std::unordered_map<uint64_t, Cost> costs_;  // by place and access
  Touched read_, written_;
  uint64_t moved_ = 0;
  std::vector<Lane> lanes_;
  std::vector<std::pair<uint64_t, uint32_t>> parts_;
  std::vector<uint64_t> words_;
};

Counter& counter() {
  static auto* c = new Counter;
  return *c;
}
const bool g_installed = [] {
  g_watcher = &counter();
  return true;
}();

void touch(const void* place, const void* address, uint64_t bytes, Access access) {
  if (g_thread < 0 || !is_device_memory(address)) return;
  const char* at = static_cast<const char*>(address);
  for (uint64_t done = 0; done < bytes; done += 16)  // no instruction moves more
    counter().touch(g_thread, place, at + done,
                    static_cast<int>(std::min<uint64_t>(16, bytes - done)), access);
}

}  // namespace
}  // namespace ranvier::emulation

// ---- The hooks, as the compiler names them ------------------------------------------------------

#define RV_HOOK extern "C" __attribute__((visibility("default")))
#define RV_TOUCH(name, bytes, access)                                   \
  RV_HOOK void name(void* address) {                                    \
    using namespace ranvier::emulation;                                 \
    touch(__builtin_return_address(0), address, bytes, Access::access); \
  }
#define RV_TOUCHES(bytes)                                   \
  RV_TOUCH(__tsan_read##bytes, bytes, GlobalRead)           \
  RV_TOUCH(__tsan_write##bytes, bytes, GlobalWrite)         \
  RV_TOUCH(__tsan_unaligned_read##bytes, bytes, GlobalRead) \
  RV_TOUCH(__tsan_unaligned_write##bytes, bytes, GlobalWrite)
RV_TOUCHES(1)
RV_TOUCHES(2)
RV_TOUCHES(4)
RV_TOUCHES(8)
RV_TOUCHES(16)
RV_TOUCH(__tsan_vptr_read, 8, GlobalRead)

RV_HOOK void __tsan_vptr_update(void** address, void*) {
  using namespace ranvier::emulation;
  touch(__builtin_return_address(0), address, 8, Access::GlobalWrite);
}
RV_HOOK void __tsan_read_range(void* address, unsigned long bytes) {
  using namespace ranvier::emulation;
  touch(__builtin_return_address(0), address, bytes, Access::GlobalRead);
}
RV_HOOK void __tsan_write_range(void* address, unsigned long bytes) {
  using namespace ranvier::emulation;
  touch(__builtin_return_address(0), address, bytes, Access::GlobalWrite);
}
RV_HOOK void __tsan_init() {}
RV_HOOK void __tsan_func_entry(void*) { ranvier::emulation::counter().call(1); }
RV_HOOK void __tsan_func_exit() { ranvier::emulation::counter().call(-1); }
RV_HOOK void __sanitizer_cov_trace_pc() {
  using namespace ranvier::emulation;
  counter().touch(g_thread, __builtin_return_address(0), nullptr, 0, Access::None);
}
