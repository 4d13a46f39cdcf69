#include "core/team.h"

#include <sched.h>

#include <algorithm>
#include <atomic>

#include "core/threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define RV_PAUSE() _mm_pause()
#else
#define RV_PAUSE() sched_yield()
#endif

namespace ranvier {
namespace {

constexpr int64_t kMostMembers = 64;
// Looks at a member that is not done before the processor is offered to others: 0.2 ms, longer than
// most pieces. The member may be waiting for this very processor; but where other processes wait
// for it, too, one of them then keeps it for 3 ms.
constexpr int kLooks = 8000;

// Both numbers only grow, by `pieces` in each stage. What a member did is seen by those who have
// seen `done`.
struct alignas(64) Range {
  std::atomic<int64_t> taken{0};
  alignas(64) std::atomic<int64_t> done{0};
};

}  // namespace

struct Team::Stages {
  int64_t members, pieces;
  Range ranges[kMostMembers];
};

bool Team::next(int64_t chunks, int64_t* first, int64_t* last) {
  Stages& s = *stages_;
  const int64_t end = (stage_ + 1) * s.pieces;
  if (held_ >= 0) s.ranges[held_].done.fetch_add(1, std::memory_order_release);
  held_ = -1;
  for (; passed_ < s.members; ++passed_) {
    const int64_t range = (self_ + passed_) % s.members;
    Range& r = s.ranges[range];
    if (r.done.load(std::memory_order_relaxed) >= end) continue;
    int64_t piece = r.taken.load(std::memory_order_relaxed);
    while (piece < end) {  // nobody takes from a stage before the one before is done
      if (!r.taken.compare_exchange_weak(piece, piece + 1, std::memory_order_relaxed)) continue;
      piece += s.pieces - end;
      if (back_) piece = s.pieces - 1 - piece;
      piece += range * s.pieces;
      *first = chunks * piece / (s.members * s.pieces);
      *last = chunks * (piece + 1) / (s.members * s.pieces);
      held_ = range;
      return true;
    }
  }
  for (int64_t i = 0; i < s.members; ++i) {
    int looks = 0;
    while (s.ranges[i].done.load(std::memory_order_acquire) < end) {
      if (++looks < kLooks) {
        RV_PAUSE();
      } else {
        sched_yield();
      }
    }
  }
  ++stage_;
  passed_ = 0;
  return false;
}

void run_team(int64_t members, int64_t pieces, void (*fn)(void*, Team&), void* context) {
  members = std::min({members, kMostMembers, static_cast<int64_t>(num_threads())});
  if (members <= 1) {
    Team alone;
    return fn(context, alone);
  }
  Team::Stages stages{members, pieces, {}};
  parallel_for(members, [&](int64_t i) {
    Team team;
    team.stages_ = &stages;
    team.self_ = i;
    fn(context, team);
  });
}

}  // namespace ranvier
