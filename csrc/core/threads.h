// Our own thread pool. Work is cut into chunks by the caller, from the shape alone; threads take
// runs of chunks, so the result never depends on how many threads there are.
#pragma once

#include <cstdint>

namespace ranvier {

// Calls fn(context, chunk) once for every chunk in [0, chunks), in any order, in any thread.
// A caller that finds the pool busy, or is itself inside a chunk, runs its chunks itself.
void parallel_run(int64_t chunks, void (*fn)(void* context, int64_t chunk), void* context);

template <class F>
void parallel_for(int64_t chunks, F&& f) {
  parallel_run(
      chunks, [](void* context, int64_t chunk) { (*static_cast<F*>(context))(chunk); }, &f);
}

// How many jobs of the calling thread a pool has run, so far.
int64_t shared_jobs();

int num_threads();
void set_num_threads(int n);

}  // namespace ranvier
