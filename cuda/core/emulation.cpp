// The fibers and the watched shared memory of the emulation; its device is emulated_device.cpp.
#include "cuda/core/emulation.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "core/check.h"
#include "cuda/core/async.h"
#include "cuda/core/emulated_device.h"
#include "cuda/core/emulated_hopper.h"
#include "cuda/core/traffic.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// ---- Switching between fibers -------------------------------------------------------------------

#if defined(__x86_64__)
// Saves the registers that a function must keep on this stack, and takes up the other one.
extern "C" void rv_emulation_switch(void** save, void* load) __attribute__((visibility("hidden")));
asm(R"(
.text
.hidden rv_emulation_switch
.globl rv_emulation_switch
.type rv_emulation_switch, @function
rv_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size rv_emulation_switch, . - rv_emulation_switch
)");
#endif

namespace ranvier::emulation {

Schedule g_schedule;
Watcher* g_watcher = nullptr;
int g_thread = -1;

namespace {

constexpr size_t kStackBytes = 128 * 1024;  // and a guard page below
constexpr int kMostCluster = 8;             // what every GPU with clusters allows

#if defined(__x86_64__)
struct Context {
  void* sp = nullptr;
};
void switch_to(Context& from, Context& to) { rv_emulation_switch(&from.sp, to.sp); }
void prepare(Context& c, char* stack, size_t bytes, void (*entry)()) {
  auto top = reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15};
  auto* sp = reinterpret_cast<void**>(top);
  *--sp = nullptr;  // where `entry` would return to, had it an end; keeps the stack aligned
  *--sp = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  c.sp = sp;
}
#else
struct Context {
  ucontext_t context;
};
void switch_to(Context& from, Context& to) { swapcontext(&from.context, &to.context); }
void prepare(Context& c, char* stack, size_t bytes, void (*entry)()) {
  getcontext(&c.context);
  c.context.uc_stack.ss_sp = stack;
  c.context.uc_stack.ss_size = bytes;
  c.context.uc_link = nullptr;
  makecontext(&c.context, entry, 0);
}
#endif

// ---- State of the one launch that runs ----------------------------------------------------------

enum class State : uint8_t { Fresh, Ready, Barrier, Cluster, Warp, Phase, Done };

struct Pending {  // a copy that has not landed
  const Segment* segment;
  int64_t at, count;
  const void* from;  // null: zeros
};

struct Fiber {
  Context context;
  char* stack = nullptr;
  State state = State::Fresh;
  uint3 index{};
  Site site{};
  uint32_t mask = 0;
  Exchange* exchange = nullptr;  // of the collective it is in, or was in last
  std::vector<Pending> open;     // of the group that is not closed yet
  std::vector<std::vector<Pending>> groups;
  uint32_t shown = 0;  // calls of show_stores
  Until until{};       // what it waits for in State::Phase
};

struct Warp {
  uint32_t epoch = 0;      // __syncwarp calls
  uint64_t last_sync = 0;  // serial of the last one
};

struct Block {
  int rank = 0;  // in its cluster
  uint3 index{};
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  int arrived = 0, done = 0;
  uint32_t epoch = 0;  // barriers that it has passed
  std::vector<Segment> segments;
  std::vector<std::vector<Trace>> traces;
  const Segment* large_array = nullptr;
  std::vector<char> arena;
  size_t arena_used = 0;
};

struct Machine {
  std::mutex lock;  // one launch at a time
  const char* kernel = "";
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  std::vector<Block> blocks = std::vector<Block>(kMostCluster);
  int cluster = 1;            // how many of them run together: one, but for clusters
  Block* block = &blocks[0];  // of the running fiber
  int current = -1;           // which of its block's
  int threads = 0;            // of a block
  int large = 0;              // bytes of the large shared array
  int met = 0;                // threads at the barrier of the cluster
  uint32_t cluster_epoch = 0;
  Context scheduler;
  uint64_t serial = 0;
  std::vector<char*> stacks;         // free ones
  std::vector<Exchange*> exchanges;  // free ones
  std::string error;
  sigjmp_buf fault;
  std::mt19937_64 random;
};
Machine& machine() {
  static auto* m = new Machine;
  return *m;
}

// Threads of a cluster are told apart by one number.
constexpr int kMostThreads = 1024;
int who(const Machine& m) { return m.block->rank * kMostThreads + m.current; }
int rank_of(int32_t thread) { return thread / kMostThreads; }
std::string thread_text(const Machine& m, int32_t thread) {
  std::string s = text("thread ", thread % kMostThreads);
  return m.cluster > 1 ? s + text(" of block ", rank_of(thread), " of the cluster") : s;
}

std::string where(const Machine& m) {
  std::string s =
      text("kernel ", m.kernel, ", block (", blockIdx.x, ", ", blockIdx.y, ", ", blockIdx.z, ")");
  if (m.current >= 0) {
    const uint3& t = m.block->fibers[static_cast<size_t>(m.current)].index;
    s += text(", thread (", t.x, ", ", t.y, ", ", t.z, ")");
  }
  return s;
}

std::string name_of(Site site) {
  const char* slash = strrchr(site.file, '/');
  return text(slash ? slash + 1 : site.file, ':', site.line);
}

void report(Machine& m, const std::string& what) {
  if (m.error.empty()) m.error = "emulation: " + what + " (" + where(m) + ")";
}

char* new_stack(Machine& m) {
  if (!m.stacks.empty()) {
    char* s = m.stacks.back();
    m.stacks.pop_back();
    return s;
  }
  void* p = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  RV_CHECK(p != MAP_FAILED, "emulation", Memory, "expected memory for a thread's stack");
  mprotect(p, kPage, PROT_NONE);
  return static_cast<char*>(p) + kPage;
}

void give_back(Machine& m, Fiber& f) {
  if (f.exchange && --f.exchange->readers == 0) m.exchanges.push_back(f.exchange);
  f.exchange = nullptr;
}

void leave(Machine& m) {  // the running fiber gives way to the scheduler
  Fiber& f = m.block->fibers[static_cast<size_t>(m.current)];
  switch_to(f.context, m.scheduler);
}

void settle_block(Machine& m, const Block& b) {
  if (!g_watcher) return;
  for (int i = 0; i < m.threads; i += warpSize) g_watcher->settle(b.rank * kMostThreads + i);
}

// A thread ended, or arrived at a barrier: is the barrier complete?
void settle_barrier(Machine& m) {
  Block& b = *m.block;
  if (b.arrived == 0 || b.arrived < m.threads) return;
  const Site* site = nullptr;
  for (Fiber& f : b.fibers) {
    if (!site) site = &f.site;
    if (!(f.site == *site))
      return report(m, text("threads of a block wait at two barriers, ", name_of(*site), " and ",
                            name_of(f.site)));
  }
  for (Fiber& f : b.fibers) f.state = State::Ready;
  b.arrived = 0;
  ++b.epoch;
  settle_block(m, b);
}

template <class F>
void each_fiber(Machine& m, const F& f) {
  for (int r = 0; r < m.cluster; ++r)
    for (Fiber& fiber : m.blocks[static_cast<size_t>(r)].fibers) f(fiber);
}

// The same for the barrier of a cluster, which is one of each of its blocks, too.
void settle_cluster(Machine& m) {
  if (m.met < m.cluster * m.threads) return;
  const Site site = m.block->fibers[static_cast<size_t>(m.current)].site;
  each_fiber(m, [&](Fiber& f) {
    if (!(f.site == site))
      report(m, text("threads of a cluster wait at two barriers, ", name_of(site), " and ",
                     name_of(f.site)));
    f.state = State::Ready;
  });
  m.met = 0;
  ++m.cluster_epoch;
  for (Block& b : m.blocks) ++b.epoch;
  for (int r = 0; r < m.cluster; ++r) settle_block(m, m.blocks[static_cast<size_t>(r)]);
}

void entry() {
  Machine& m = machine();
  m.body(m.argument);
  Fiber& f = m.block->fibers[static_cast<size_t>(m.current)];
  f.state = State::Done;
  ++m.block->done;
  leave(m);
  __builtin_unreachable();
}

std::string stuck(Machine& m) {
  std::map<std::string, int> places;
  each_fiber(m, [&](const Fiber& f) {
    if (f.state == State::Done)
      ++places["at the end of the kernel"];
    else
      ++places[text(f.state == State::Barrier   ? "at the barrier "
                    : f.state == State::Cluster ? "at the barrier of the cluster "
                    : f.state == State::Phase   ? "waiting for arrivals "
                                                : "at the warp collective ",
                    name_of(f.site))];
  });
  std::string s = "threads of a block wait for each other forever:";
  for (auto& [place, count] : places) s += text(' ', count, ' ', place, ';');
  s.pop_back();
  return s;
}

void resume(Machine& m, Block& b, int i) {
  Fiber& f = b.fibers[static_cast<size_t>(i)];
  if (f.state == State::Fresh) {
    f.stack = new_stack(m);
    prepare(f.context, f.stack, kStackBytes, &entry);
  }
  f.state = State::Ready;
  m.block = &b;
  m.current = i;
  threadIdx = f.index;
  blockIdx = b.index;
  g_thread = who(m);
  switch_to(m.scheduler, f.context);
  m.current = g_thread = -1;
  if (f.state == State::Done && f.stack) {
    give_back(m, f);
    m.stacks.push_back(f.stack);
    f.stack = nullptr;
  }
}

void reorder(Machine& m, std::vector<int64_t>& order) {
  if (g_schedule.order == Order::Shuffled) std::shuffle(order.begin(), order.end(), m.random);
}

std::vector<int64_t> sequence(Machine& m, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    order[static_cast<size_t>(i)] = g_schedule.order == Order::Reverse ? n - 1 - i : i;
  reorder(m, order);
  return order;
}

void start_block(Machine& m, Block& b, int rank, uint3 index) {
  b.rank = rank;
  b.index = index;
  b.arrived = b.done = 0;
  b.epoch = 1;
  b.arena_used = 0;
  b.segments.clear();
  b.large_array = nullptr;
  if (g_watcher) g_watcher->begin_block(rank);
  b.fibers.assign(static_cast<size_t>(m.threads), Fiber{});
  b.warps.assign(static_cast<size_t>(m.threads / warpSize), Warp{});
  for (int i = 0; i < m.threads; ++i) {
    const auto u = static_cast<unsigned>(i);
    b.fibers[static_cast<size_t>(i)].index = {u % blockDim.x, u / blockDim.x % blockDim.y,
                                              u / blockDim.x / blockDim.y};
  }
}

// Runs the blocks of a cluster, from this one on: without clusters, one.
void run_cluster(Machine& m, uint3 first) {
  m.block = &m.blocks[0];
  m.met = 0;
  m.cluster_epoch = 1;
  start_hopper_block(m.threads);
  for (int r = 0; r < m.cluster; ++r)
    start_block(m, m.blocks[static_cast<size_t>(r)], r,
                {first.x + static_cast<unsigned>(r), first.y, first.z});
  std::vector<int64_t> order = sequence(m, int64_t{m.cluster} * m.threads);
  auto running = [&] {
    int done = 0;
    for (int r = 0; r < m.cluster; ++r) done += m.blocks[static_cast<size_t>(r)].done;
    return done < m.cluster * m.threads;
  };
  while (running() && m.error.empty()) {
    bool moved = false;
    for (int64_t i : order) {
      Block& b = m.blocks[static_cast<size_t>(i / m.threads)];
      const Fiber& f = b.fibers[static_cast<size_t>(i % m.threads)];
      if (f.state == State::Phase ? !f.until.over(f.until.at, f.until.parity)
                                  : f.state != State::Fresh && f.state != State::Ready)
        continue;
      moved = true;
      resume(m, b, static_cast<int>(i % m.threads));
      if (!m.error.empty()) return;
    }
    if (!moved && land_one_bulk_copy()) {  // as late as it may
      if (!m.error.empty()) return;
      continue;
    }
    if (!moved) return report(m, stuck(m));
    reorder(m, order);
  }
  for (int r = 0; r < m.cluster; ++r) settle_block(m, m.blocks[static_cast<size_t>(r)]);
}

// ---- Faults -------------------------------------------------------------------------------------

void on_fault(int signal, siginfo_t* info, void*) {
  Machine& m = machine();
  if (m.current < 0) {  // not ours
    struct sigaction usual{};
    usual.sa_handler = SIG_DFL;
    sigaction(signal, &usual, nullptr);
    return;
  }
  report(m, about_address(info->si_addr));
  siglongjmp(m.fault, 1);
}

// Faults of kernels become errors, and everybody else's stay what they are.
class FaultGuard {
 public:
  FaultGuard() {
    static char stack[64 * 1024];
    stack_t own{};
    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    sigaltstack(&own, &old_stack_);
    struct sigaction action{};
    action.sa_sigaction = &on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &old_);
  }
  ~FaultGuard() {
    sigaction(SIGSEGV, &old_, nullptr);
    sigaltstack(&old_stack_, nullptr);
  }

 private:
  struct sigaction old_{};
  stack_t old_stack_{};
};

}  // namespace

void stop(const char* format, ...) {
  char line[512];
  va_list list;
  va_start(list, format);
  vsnprintf(line, sizeof line, format, list);
  va_end(list);
  Machine& m = machine();
  report(m, line);
  leave(m);  // for good: a launch with an error is never resumed
  __builtin_unreachable();
}

int lane() { return machine().current % warpSize; }

static Fiber& running() {
  Machine& m = machine();
  return m.block->fibers[static_cast<size_t>(m.current)];
}

void barrier(Site site) {
  Machine& m = machine();
  Fiber& f = running();
  give_back(m, f);
  f.site = site;
  f.state = State::Barrier;
  ++m.block->arrived;
  settle_barrier(m);
  leave(m);
}

// ---- Clusters -----------------------------------------------------------------------------------

int rank() { return machine().block->rank; }
int cluster_size() { return machine().cluster; }

void meet(Site site) {
  Machine& m = machine();
  Fiber& f = running();
  give_back(m, f);
  f.site = site;
  f.state = State::Cluster;
  ++m.met;
  settle_cluster(m);
  leave(m);
}

const Segment& of_peer(const Segment& mine, int rank) {
  Machine& m = machine();
  if (rank < 0 || rank >= m.cluster)
    stop("a thread reaches for block %d of a cluster of %d", rank, m.cluster);
  const Block& b = m.blocks[static_cast<size_t>(rank)];
  if (b.done == m.threads)
    stop("a thread reaches into shared memory of block %d of the cluster, which has ended", rank);
  for (const Segment& s : b.segments)
    if (s.site == mine.site && s.count == mine.count && s.item == mine.item) return s;
  stop("a thread reaches into shared memory of block %d of the cluster, which has not begun", rank);
}

const Exchange& gather(uint32_t mask, const void* mine, int bytes, Site site) {
  Machine& m = machine();
  const int me = m.current, lane = me % warpSize, first = me - lane;
  std::vector<Fiber>& fibers = m.block->fibers;
  Fiber& f = fibers[static_cast<size_t>(me)];
  if (!(mask >> lane & 1)) stop("a thread calls a warp collective whose mask leaves it out");
  give_back(m, f);
  f.site = site;
  f.mask = mask;
  // The collective that other lanes of the mask wait in already, or a new one.
  Exchange* e = nullptr;
  bool complete = true;
  for (int l = 0; l < warpSize; ++l) {
    if (l == lane || !(mask >> l & 1)) continue;
    const Fiber& o = fibers[static_cast<size_t>(first + l)];
    if (o.state == State::Done)
      stop("a warp collective at %s waits for lane %d, which has ended", name_of(site).c_str(), l);
    const bool here = o.state == State::Warp && o.site == site && o.mask == mask;
    if (here) e = o.exchange;
    complete = complete && here;
  }
  if (!e) {
    if (m.exchanges.empty()) {
      e = new Exchange;
    } else {
      e = m.exchanges.back();
      m.exchanges.pop_back();
    }
    e->readers = 0;
    e->serial = ++m.serial;
  }
  memcpy(e->value[lane], mine, static_cast<size_t>(bytes));
  ++e->readers;
  f.exchange = e;
  if (complete) {
    if (g_watcher && mask == 0xffffffffu) g_watcher->settle(who(m));
    for (int l = 0; l < warpSize; ++l)
      if (mask >> l & 1) fibers[static_cast<size_t>(first + l)].state = State::Ready;
  } else {
    f.state = State::Warp;
    leave(m);
  }
  return *e;
}

Segment& segment(int64_t count, int64_t item, Site site) {
  Block& b = *machine().block;
  for (Segment& s : b.segments)
    if (s.site == site && s.count == count && s.item == item) return s;
  constexpr size_t kMost = 227 * 1024;
  if (b.arena.size() != kMost) b.arena.resize(kMost);
  if (b.segments.capacity() < 64) b.segments.reserve(64), b.traces.resize(64);
  const auto bytes = static_cast<size_t>(count * item);
  if (b.segments.size() == 64 || b.arena_used + bytes > kMost)
    stop("a block asks for more shared memory than there is: %zu bytes, most are %zu",
         b.arena_used + bytes, kMost);
  std::vector<Trace>& traces = b.traces[b.segments.size()];
  traces.assign(static_cast<size_t>(count), Trace{});
  memset(b.arena.data() + b.arena_used, 0xff, bytes);  // NaN
  b.segments.push_back({b.arena.data() + b.arena_used, traces.data(), count, item, site});
  b.arena_used += (bytes + 15) / 16 * 16;
  return b.segments.back();
}

// Whether what another thread did at these times can be under way still.
static bool unordered(const Machine& m, int32_t other, uint32_t cluster, uint32_t block,
                      uint32_t warp) {
  if (other == kBulkCopy) return false;  // who reads too early finds nothing
  if (rank_of(other) != m.block->rank) return cluster == m.cluster_epoch;
  const int me = who(m);
  if (other == me || block != m.block->epoch) return false;
  return other / warpSize != me / warpSize ||
         warp == m.block->warps[static_cast<size_t>(m.current / warpSize)].epoch;
}

static Trace& trace(const Segment& s, int64_t i, const char* what) {
  if (i < 0 || i >= s.count)
    stop("%s of element %lld of the shared array at %s, which has %lld", what,
         static_cast<long long>(i), name_of(s.site).c_str(), static_cast<long long>(s.count));
  return s.traces[i];
}

void check_read(const Segment& s, int64_t i) {
  Machine& m = machine();
  Trace& t = trace(s, i, "a read");
  if (t.writer == -1)
    stop("a read of element %lld of the shared array at %s, which nobody wrote",
         static_cast<long long>(i), name_of(s.site).c_str());
  if (unordered(m, t.writer, t.write_cluster, t.write_block, t.write_warp))
    stop("element %lld of the shared array at %s is read without a barrier after %s wrote it",
         static_cast<long long>(i), name_of(s.site).c_str(), thread_text(m, t.writer).c_str());
  const Block& b = *m.block;
  const int me = who(m), warp = me / warpSize;
  const uint32_t warp_epoch = b.warps[static_cast<size_t>(m.current / warpSize)].epoch;
  const bool same = t.reader >= 0 ? t.reader / warpSize == warp : t.reader == -2 - 2 * warp;
  if (t.read_cluster != m.cluster_epoch || t.reader == -1)
    t.reader_rank = b.rank;
  else if (t.reader_rank != b.rank)
    t.reader_rank = -1;  // several
  if (t.read_cluster != m.cluster_epoch || t.read_block != b.epoch || t.reader == -1 ||
      (same && t.read_warp != warp_epoch)) {  // what its warp read before a barrier is over
    t.reader = me;
  } else if (t.reader != me) {
    t.reader = same ? -2 - 2 * warp : -3;  // several: of this warp (even codes), of several warps
  }
  t.read_cluster = m.cluster_epoch;
  t.read_block = b.epoch;
  t.read_warp = warp_epoch;
}

static void check_write(const Segment& s, int64_t i) {
  Machine& m = machine();
  Trace& t = trace(s, i, "a write");
  if (t.writer != -1 && unordered(m, t.writer, t.write_cluster, t.write_block, t.write_warp))
    stop("element %lld of the shared array at %s is written without a barrier after %s wrote it",
         static_cast<long long>(i), name_of(s.site).c_str(), thread_text(m, t.writer).c_str());
  const Block& b = *m.block;
  const int me = who(m), warp = me / warpSize;
  const uint32_t warp_epoch = b.warps[static_cast<size_t>(m.current / warpSize)].epoch;
  bool raced = false;
  if (t.reader != -1 && t.reader_rank != b.rank) {
    raced = t.read_cluster == m.cluster_epoch;
  } else if (t.reader != -1 && t.read_block == b.epoch) {
    if (t.reader >= 0)
      raced = unordered(m, t.reader, t.read_cluster, t.read_block, t.read_warp);
    else
      raced = t.reader != -2 - 2 * warp || t.read_warp == warp_epoch;
  }
  if (raced)
    stop("element %lld of the shared array at %s is written without a barrier after it was read",
         static_cast<long long>(i), name_of(s.site).c_str());
  t.writer = me;
  t.write_cluster = m.cluster_epoch;
  t.write_block = b.epoch;
  t.write_warp = warp_epoch;
  t.shown = running().shown;
}

static void tell(const void* place, const Segment& s, int64_t i, int64_t count, Access access) {
  if (g_watcher)
    g_watcher->touch(g_thread, place, s.data + i * s.item, static_cast<int>(count * s.item),
                     access);
}

void note_read(const Segment& s, int64_t i) {
  check_read(s, i);
  tell(__builtin_return_address(0), s, i, 1, Access::SharedRead);
}

void note_write(const Segment& s, int64_t i, int64_t count) {
  for (int64_t k = i; k < i + count; ++k) check_write(s, k);
  tell(__builtin_return_address(0), s, i, count, Access::SharedWrite);
}

void show_stores() { ++running().shown; }

bool is_shown(const Trace& t) {
  const Machine& m = machine();
  return t.writer < 0 || m.block->fibers[static_cast<size_t>(t.writer)].shown > t.shown;
}

// ---- Asynchronous copies ------------------------------------------------------------------------

static void land(const Pending& p) {
  for (int64_t i = 0; i < p.count; ++i) check_write(*p.segment, p.at + i);
  char* to = p.segment->data + p.at * p.segment->item;
  const auto bytes = static_cast<size_t>(p.count * p.segment->item);
  if (p.from)
    memcpy(to, p.from, bytes);
  else
    memset(to, 0, bytes);
}

void copy_later(const Segment& s, int64_t i, const void* from, int64_t count) {
  trace(s, i + count - 1, "a copy");
  const void* place = __builtin_return_address(0);
  tell(place, s, i, count, Access::SharedWrite);
  if (g_watcher && from)
    g_watcher->touch(g_thread, place, from, static_cast<int>(count * s.item), Access::GlobalRead);
  const Pending p{&s, i, count, from};
  if (!g_schedule.late_copies) return land(p);
  // Until it lands nobody may read what was there, nor anything else.
  for (int64_t k = i; k < i + count; ++k) {
    check_write(s, k);
    s.traces[k].writer = -1;
  }
  memset(s.data + i * s.item, 0xff, static_cast<size_t>(count * s.item));
  running().open.push_back(p);
}

void close_group() {
  Fiber& f = running();
  f.groups.push_back(std::move(f.open));
  f.open.clear();
}

void wait_groups(int newest) {
  Fiber& f = running();
  while (static_cast<int>(f.groups.size()) > newest) {
    for (const Pending& p : f.groups.front()) land(p);
    f.groups.erase(f.groups.begin());
  }
}

void set_large(const Segment& s) { machine().block->large_array = &s; }
const Segment& large_segment() { return *machine().block->large_array; }

int thread() { return machine().current; }
uint32_t barriers_passed() { return machine().block->epoch; }
void complain(const std::string& what) { report(machine(), what); }
std::string text_of(Site site) { return name_of(site); }
void park(const Until& until, Site site) {
  Machine& m = machine();
  Fiber& f = running();
  if (until.over(until.at, until.parity)) return;
  f.until = until;
  f.site = site;
  f.state = State::Phase;
  leave(m);
}

void check_large(int64_t bytes, Site site) {
  if (bytes != machine().large)
    stop("the large shared array at %s has %lld bytes, the launch brought %d",
         name_of(site).c_str(), static_cast<long long>(bytes), machine().large);
  // Shared arrays begin where they are declared first; this one on a pattern of 1024 bytes.
  Block& b = *machine().block;
  if (!b.large_array) b.arena_used = (b.arena_used + 1023) / 1024 * 1024;
}

void run(const char* kernel, dim3 grid, dim3 block, void (*body)(void*), void* context, int large,
         int cluster) {
  Machine& m = machine();
  std::lock_guard guard(m.lock);
  const int64_t threads = int64_t{block.x} * block.y * block.z;
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z;
  RV_CHECK(threads > 0 && threads <= 1024 && threads % warpSize == 0 && block.z <= 64, kernel,
           Runtime, "emulation: a launch needs whole warps and at most 1024 threads a block, got ",
           threads);
  RV_CHECK(blocks > 0 && grid.x <= 0x7fffffff && grid.y <= 65535 && grid.z <= 65535, kernel,
           Runtime, "emulation: a launch needs 1 to 2^31-1, 65535, 65535 blocks, got ", grid.x,
           ", ", grid.y, ", ", grid.z);
  RV_CHECK(cluster >= 1 && cluster <= kMostCluster && grid.x % static_cast<unsigned>(cluster) == 0,
           kernel, Runtime, "emulation: a launch needs clusters of 1 to ", kMostCluster,
           " blocks that divide the grid, got ", cluster, " of ", grid.x);
  m.kernel = kernel;
  m.large = large;
  m.cluster = cluster;
  m.body = body;
  m.argument = context;
  m.threads = static_cast<int>(threads);
  m.error.clear();
  m.current = -1;
  m.random.seed(g_schedule.seed);
  blockDim = block;
  gridDim = grid;
  if (g_watcher) g_watcher->begin(kernel, *static_cast<void**>(context), grid, block);
  const auto together = static_cast<unsigned>(cluster);
  const unsigned across = grid.x / together;
  const std::vector<int64_t> order = sequence(m, blocks / cluster);
  {
    FaultGuard faults;
    if (sigsetjmp(m.fault, 1) == 0) {
      for (int64_t b : order) {
        const auto u = static_cast<uint64_t>(b);
        run_cluster(m, {static_cast<unsigned>(u % across) * together,
                        static_cast<unsigned>(u / across % grid.y),
                        static_cast<unsigned>(u / across / grid.y)});
        if (!m.error.empty()) break;
      }
    }
  }
  m.current = g_thread = -1;
  if (g_watcher) g_watcher->end(m.error.empty());
  if (!m.error.empty()) {
    each_fiber(m, [&](Fiber& f) {  // abandoned where they stand
      if (f.stack) m.stacks.push_back(f.stack);
    });
    for (Block& b : m.blocks) b.fibers.clear();
    throw Error(ErrorKind::Runtime, m.error);
  }
}

}  // namespace ranvier::emulation

void __syncwarp(uint32_t mask, const char* file, int line) {
  using namespace ranvier::emulation;
  const char none = 0;
  const Exchange& e = gather(mask, &none, 1, {file, line});
  Machine& m = machine();
  Warp& w = m.block->warps[static_cast<size_t>(m.current / warpSize)];
  if (w.last_sync < e.serial) {  // the first lane to go on counts for all
    w.last_sync = e.serial;
    ++w.epoch;
  }
}

uint32_t __ballot_sync(uint32_t mask, int predicate, const char* file, int line) {
  using namespace ranvier::emulation;
  const char mine = predicate != 0;
  const Exchange& e = gather(mask, &mine, 1, {file, line});
  uint32_t votes = 0;
  for (int l = 0; l < warpSize; ++l)
    if ((mask >> l & 1) && e.value[l][0]) votes |= 1u << l;
  return votes;
}
