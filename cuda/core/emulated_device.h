// What the two halves of the emulation know of each other: fibers (emulation.cpp) and the device
// that they seem to run on (emulated_device.cpp).
#pragma once

#include <stdint.h>

#include <string>

#include "cuda/core/emulation.h"

namespace ranvier::emulation {

constexpr size_t kPage = 4096;

// In which order threads and blocks run, and when asynchronous copies land.
enum class Order { Forward, Reverse, Shuffled };
struct Schedule {
  Order order = Order::Forward;
  uint64_t seed = 0;
  bool late_copies = false;
  bool cut_tf32 = false;  // by bulk copies, instead of rounding
};
extern Schedule g_schedule;

// Runs body(call) for every thread of every block.
void run(const char* kernel, dim3 grid, dim3 block, void (*body)(void*), void* call, int large,
         int cluster);

bool product_fails(int columns);  // whether those of warp groups are told to

// What an address that a kernel must not touch lies next to.
std::string about_address(const void* address);

}  // namespace ranvier::emulation
