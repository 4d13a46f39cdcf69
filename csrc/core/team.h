// Threads that walk through many short stages together.
//
// A stage is cut into chunks that do not depend on each other; the next stage reads what it left.
// A job of the pool for each stage (core/threads.h) takes a microsecond or two, as long as a small
// stage itself. Here one job holds a whole walk: each member of a team runs the same function, with
// the same stages in the same order, and what passes between them is a line or two of a cache.
//
//   parallel_team(members, pieces, [&](Team& team) {
//     for (int64_t step = 0; step < steps; ++step) {
//       team.share(chunks, [&](int64_t chunk) { ... });  // each chunk once, in any member
//     }
//   });
//
// Nobody waits for a thread that is not there: a member takes its own run of the chunks first, so
// that what they read stays in its cache, then what nobody else has begun. One alone comes to the
// end, and one that comes late passes over what is done. Results must not depend on who runs what.
#pragma once

#include <cstdint>

namespace ranvier {

class Team {
 public:
  // Calls f(chunk) for every chunk in [0, chunks), here or in other members, and returns when all
  // of them have returned.
  template <class F>
  void share(int64_t chunks, const F& f) {
    int64_t first = 0, last = chunks;
    if (stages_ && !next(chunks, &first, &last)) return;
    do {
      for (int64_t i = first; i < last; ++i) f(back_ ? first + last - 1 - i : i);
    } while (stages_ && next(chunks, &first, &last));
  }

  // From here on the chunks of a stage come in the opposite order: what a cache still holds of the
  // stage before comes first. (128 KB of weights, 32 KB at a time: 0.55 us instead of 0.68.)
  __attribute__((always_inline)) void turn() { back_ = !back_; }

 private:
  struct Stages;
  friend void run_team(int64_t, int64_t, void (*)(void*, Team&), void*);

  // The next run of chunks for this member; false when the whole stage is done.
  bool next(int64_t chunks, int64_t* first, int64_t* last);

  Stages* stages_ = nullptr;  // nullptr: alone
  int64_t self_ = 0;
  int64_t stage_ = 0;
  int64_t passed_ = 0;  // ranges in which this member found nothing more to take
  int64_t held_ = -1;   // the range of the piece that it is running
  bool back_ = false;
};

void run_team(int64_t members, int64_t pieces, void (*fn)(void* context, Team& team),
              void* context);

// Calls f(team) in up to `members` threads; with one member, or none to be had, here alone. A
// member's run of the chunks of a stage is taken in so many pieces: more balance better, each costs
// some 20 ns.
template <class F>
void parallel_team(int64_t members, int64_t pieces, F&& f) {
  run_team(
      members, pieces, [](void* context, Team& team) { (*static_cast<F*>(context))(team); }, &f);
}

}  // namespace ranvier
