#include "core/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#define RV_PAUSE() _mm_pause()
#else
#define RV_PAUSE() std::this_thread::yield()
#endif

namespace ranvier {
namespace {

using Clock = std::chrono::steady_clock;

thread_local bool t_inside = false;  // a chunk is running in this thread: no job within a job
thread_local int64_t t_shared = 0;   // jobs of this thread that a pool has run

// Threads of virtual machines may wake up on the wrong processor. A virtual processor that sleeps
// looks to Linux as if its host had taken it away, so that a worker is woken on the processor of
// the job's owner, beside an idle one. The two then take turns of 4 ms until the load is balanced:
// a product of 1024x1024 after a pause took 11 ms instead of 5.7. Hence the owner lets a worker
// that waits behind it run at once, and the worker goes elsewhere.
bool is_virtual() {
#if defined(__linux__) && defined(__x86_64__)
  static const bool found = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) && (c >> 31 & 1);  // "hypervisor present"
  }();
  return found;
#else
  return false;
#endif
}

// The processor of the calling thread where that may matter, else -1.
int shared_cpu() {
#ifdef __linux__
  return is_virtual() ? sched_getcpu() : -1;
#else
  return -1;
#endif
}

// Moves this thread away from the owner's processor. It stays free to be moved anywhere later.
void leave(int owner) {
#ifdef __linux__
  cpu_set_t all;
  if (owner < 0 || owner >= CPU_SETSIZE || sched_getcpu() != owner ||
      sched_getaffinity(0, sizeof all, &all) != 0)
    return;
  cpu_set_t others = all;
  CPU_CLR(owner, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof all, &all);
#else
  (void)owner;
#endif
}

struct alignas(64) Range {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

// One job at a time. A worker announces itself in `active`, then looks whether a job is open; the
// owner closes the job, then waits until `active` is zero. Both sides are sequentially consistent,
// so either the worker sees the job closed or the owner sees the worker.
//
// Two threads on one processor (`taskset -c 0`) pay the worker's wait with each job: a gradient of
// 23 us takes 150, and 40 with one thread. A host that lets two virtual processors take turns on
// one would explain the 98 us that were measured at times. Waiting 5 us only, after 8 waits in
// vain, made 65 of the 150; beside other processes a captured MLP then took 3.3 times as long in
// two runs of three, and as long as before in the third: not understood, so the wait stayed as it
// is.
class Pool {
 public:
  explicit Pool(int n) : ranges_(static_cast<size_t>(n)) {
    const char* spin = std::getenv("RANVIER_SPIN_US");
    spin_ = std::chrono::microseconds(spin ? std::max(0, std::atoi(spin)) : 100);
    for (int i = 1; i < n; ++i) std::thread([this, i] { work(i); }).detach();
  }

  bool try_run(int64_t chunks, void (*fn)(void*, int64_t), void* context) {
    if (!busy_.try_lock()) return false;
    std::lock_guard guard(busy_, std::adopt_lock);
    fn_ = fn;
    context_ = context;
    auto n = static_cast<int64_t>(ranges_.size());
    for (int64_t i = 0; i < n; ++i) {
      ranges_[i].next.store(chunks * i / n, std::memory_order_relaxed);
      ranges_[i].end = chunks * (i + 1) / n;
    }
    open_.store(true);
    epoch_.fetch_add(1);
    if (sleepers_.load() > 0) {
      home_.store(shared_cpu(), std::memory_order_relaxed);
      epoch_.notify_all();
      if (is_virtual()) std::this_thread::yield();
    }
    take(0);
    open_.store(false);
    while (active_.load() != 0) RV_PAUSE();
    return true;
  }

 private:
  // Own run first, then help with the others'.
  void take(size_t self) {
    size_t n = ranges_.size();
    t_inside = true;
    for (size_t k = 0; k < n; ++k) {
      Range& r = ranges_[(self + k) % n];
      for (;;) {
        int64_t c = r.next.fetch_add(1, std::memory_order_relaxed);
        if (c >= r.end) break;
        fn_(context_, c);
      }
    }
    t_inside = false;
  }

  void work(int self) {
    uint64_t seen = 0;
    for (;;) {
      auto start = Clock::now();
      int spins = 0;
      while (epoch_.load() == seen) {
        RV_PAUSE();
        if (++spins % 64 == 0 && Clock::now() - start > spin_) {
          sleepers_.fetch_add(1);
          epoch_.wait(seen);
          sleepers_.fetch_sub(1);
          leave(home_.load(std::memory_order_relaxed));
        }
      }
      seen = epoch_.load();
      active_.fetch_add(1);
      if (open_.load()) take(static_cast<size_t>(self));
      active_.fetch_sub(1);
    }
  }

  std::vector<Range> ranges_;
  std::mutex busy_;
  void (*fn_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  std::chrono::microseconds spin_{100};
  alignas(64) std::atomic<uint64_t> epoch_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<int> home_{-1};  // the processor of the owner that last woke workers
  alignas(64) std::atomic<bool> open_{false};
  alignas(64) std::atomic<int> active_{0};
};

int cgroup_quota() {  // whole CPUs that the control group grants, or a large number
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (file >> quota >> period && quota != "max" && period > 0)
    return std::max(1, static_cast<int>(std::ceil(std::atof(quota.c_str()) / period)));
  return 1 << 20;
}

int default_threads() {
  for (const char* name : {"RANVIER_NUM_THREADS", "OMP_NUM_THREADS"}) {
    const char* value = std::getenv(name);
    if (!value || !*value) continue;
    char* end = nullptr;
    long n = std::strtol(value, &end, 10);
    if (*end == '\0' && n >= 1 && n <= 1024) return static_cast<int>(n);
    std::fprintf(stderr, "ranvier: ignoring %s=%s - expected a whole number from 1 to 1024\n", name,
                 value);
  }
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
#endif
  return std::max(1, std::min(cpus, cgroup_quota()));
}

struct State {
  std::mutex lock;
  std::atomic<Pool*> pool{nullptr};  // the one in use
  std::atomic<int> threads{0};
  // Every size that was ever asked for keeps its pool: another thread may still be inside it, and
  // sleeping workers cost nothing.
  std::map<int, Pool*> pools;
};

State& state() {
  static State* s = [] {
    auto* fresh = new State;  // never destroyed: kernels may run while the process exits
    // A forked child has no worker threads: it forgets the parent's pools and starts its own.
    pthread_atfork(nullptr, nullptr, [] {
      int n = state().threads.load();
      new (&state()) State;
      state().threads.store(n);
    });
    return fresh;
  }();
  return *s;
}

Pool* pool() {
  State& s = state();
  Pool* p = s.pool.load(std::memory_order_acquire);
  if (p) return p;
  std::lock_guard guard(s.lock);
  Pool*& slot = s.pools[num_threads()];
  if (!slot) slot = new Pool(num_threads());
  s.pool.store(slot, std::memory_order_release);
  return slot;
}

}  // namespace

int num_threads() {
  State& s = state();
  int n = s.threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = default_threads();
    s.threads.store(n);
  }
  return n;
}

void set_num_threads(int n) {
  RV_CHECK(n >= 1 && n <= 1024, "set_num_threads", Value, "expected 1 to 1024 threads, got ", n);
  State& s = state();
  std::lock_guard guard(s.lock);
  s.threads.store(n);
  s.pool.store(nullptr);
}

int64_t shared_jobs() { return t_shared; }

void parallel_run(int64_t chunks, void (*fn)(void*, int64_t), void* context) {
  if (chunks > 1 && !t_inside && num_threads() > 1 && pool()->try_run(chunks, fn, context)) {
    ++t_shared;
    return;
  }
  for (int64_t c = 0; c < chunks; ++c) fn(context, c);
}

}  // namespace ranvier
