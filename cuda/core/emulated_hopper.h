// What the two halves of the emulation's threads know of each other: fibers (emulation.cpp), and
// barriers that count, bulk copies and products of warp groups (emulated_hopper.cpp).
#pragma once

#include <string>

#include "cuda/core/emulation.h"

namespace ranvier::emulation {

constexpr int32_t kBulkCopy = -4;  // as a writer of shared memory: a bulk copy that has landed

struct Until {  // over(at, parity): may the thread go on?
  bool (*over)(int64_t at, int parity);
  int64_t at;
  int parity;
};

// Of the fibers.
int thread();  // that runs, of its block
int cluster_size();
uint32_t barriers_passed();  // by the block
void park(const Until& until, Site site);
void check_read(const Segment& s, int64_t i);
bool is_shown(const Trace& t);           // whether its writer called fence_proxy since
void complain(const std::string& what);  // as `stop`, and returns
std::string text_of(Site site);

// Of the rest.
void start_hopper_block(int threads);
bool land_one_bulk_copy();  // false when none is on its way

}  // namespace ranvier::emulation
