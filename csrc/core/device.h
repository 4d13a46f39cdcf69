// Devices beside the host: the library that runs them, opened once, and moving values to and fro.
#pragma once

#include <string>

#include "core/array.h"
#include "core/device_abi.h"

namespace ranvier {

// Opens the library and fills the kernels' CUDA slots; raises what is wrong with it.
void open_device_library(const std::string& path);
// The open library; raises with `problem` (why there is none) otherwise.
const DeviceLibrary& device_library(const char* op);
const DeviceLibrary* device_library_or_null();
// Why there is no library, and the cure: ends the error text of whoever needs one.
void set_device_problem(std::string text);

// "cpu", "cuda:1", "meta".
std::string to_string(Device device);

// Raises what a function of the library reported.
void check_device(int code, const char* op, const std::string& what = "");

// Waits for everything that was started on a device; raises what went wrong in it.
void synchronize(Device device);

MemoryStats device_memory_stats(Device device);
void reset_device_peak(Device device);
void empty_cache_of(Device device);

// `bytes` between two devices, one of which is the host, or within one device.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, int64_t bytes);

// `x` on another device: the same strides where its memory has few gaps, else dense.
Array to_device(const Array& x, Device device);
// `x` where the host can read it; itself when it is there.
Array to_host(const Array& x);

// Sets every element; `whole` is the value for int64, exact beyond 2^53. Room `copy`.
void fill(const Array& y, double value, int64_t whole);

}  // namespace ranvier
