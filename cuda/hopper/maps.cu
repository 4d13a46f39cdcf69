// What the kernels of bulk copies ask of the driver, which nothing links: its functions are found
// through the runtime.
#include "cuda/core/hopper_ring.h"

#if defined(__CUDACC__)
#include <cuda.h>
#endif

namespace ranvier::hopper {

#if defined(__CUDACC__)
namespace {

void* driver_function(const char* name) {
  void* f = nullptr;
  cudaDriverEntryPointQueryResult state{};
#if CUDART_VERSION >= 12050
  const cudaError_t code =
      cudaGetDriverEntryPointByVersion(name, &f, 12000, cudaEnableDefault, &state);
#else
  const cudaError_t code = cudaGetDriverEntryPoint(name, &f, cudaEnableDefault, &state);
#endif
  return code == cudaSuccess && state == cudaDriverEntryPointSuccess ? f : nullptr;
}
using Encode = decltype(&cuTensorMapEncodeTiled);
using EncodePixels = decltype(&cuTensorMapEncodeIm2col);
Encode encoder() {
  static const auto found = reinterpret_cast<Encode>(driver_function("cuTensorMapEncodeTiled"));
  return found;
}
EncodePixels pixel_encoder() {
  static const auto found =
      reinterpret_cast<EncodePixels>(driver_function("cuTensorMapEncodeIm2col"));
  return found;
}

CUtensorMapDataType type_of(Factor factor) {
  return factor == Factor::Tf32       ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32
         : factor == Factor::BFloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                      : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
}
CUtensorMapSwizzle pattern_of(Swizzle swizzle) {
  return swizzle == Swizzle::Bytes128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE;
}
uint64_t item_of(Factor factor) { return factor == Factor::Tf32 ? 4 : 2; }

__global__ void probe_kernel() {}

}  // namespace

// Drivers before that of CUDA 13.2 set a bit of maps of less than 128 KiB that newer chips than
// these stumble over; CUTLASS, which clears it, says that compute capability 9.0 ignores it.
TensorMap encoded(const Context& c, const MatrixMap& m) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
  const uint64_t item = item_of(m.factor);
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(m.columns), static_cast<cuuint64_t>(m.rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(m.row_stride) * item};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(128 / item),
                             static_cast<cuuint32_t>(m.box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  TensorMap map;
  const CUresult code = encoder()(
      reinterpret_cast<CUtensorMap*>(&map), type_of(m.factor), 2, const_cast<void*>(m.data), sizes,
      strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, pattern_of(m.swizzle),
      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  RV_CHECK(code == CUDA_SUCCESS, c.kernel, Runtime, "the driver refused to describe a matrix of ",
           m.rows, " x ", m.columns, ": code ", static_cast<int>(code));
  return map;
}

ImageMap encoded(const Context& c, const PixelMap& m) {
  const uint64_t item = item_of(m.factor), pixel = static_cast<uint64_t>(m.channels) * item;
  const auto wide = [](int64_t x) { return static_cast<cuuint64_t>(x); };
  // From the fastest axis on; corners too.
  const cuuint64_t sizes[4] = {wide(m.channels), wide(m.width), wide(m.height), wide(m.images)};
  const cuuint64_t strides[3] = {pixel, pixel * wide(m.width),
                                 pixel * wide(m.width) * wide(m.height)};
  const int lower[2] = {static_cast<int>(m.lower_w), static_cast<int>(m.lower_h)};
  const int upper[2] = {static_cast<int>(m.upper_w), static_cast<int>(m.upper_h)};
  const cuuint32_t steps[4] = {1, static_cast<cuuint32_t>(m.step_w),
                               static_cast<cuuint32_t>(m.step_h), 1};
  ImageMap map;
  const CUresult code = pixel_encoder()(
      reinterpret_cast<CUtensorMap*>(&map), type_of(m.factor), 4, const_cast<void*>(m.data), sizes,
      strides, lower, upper, static_cast<cuuint32_t>(128 / item), static_cast<cuuint32_t>(m.pixels),
      steps, CU_TENSOR_MAP_INTERLEAVE_NONE, pattern_of(m.swizzle),
      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  RV_CHECK(code == CUDA_SUCCESS, c.kernel, Runtime, "the driver refused to describe images of ",
           m.images, " x ", m.height, " x ", m.width, " x ", m.channels, ": code ",
           static_cast<int>(code));
  return map;
}

int processors(const Context& c) {
  int count = 0;
  const cudaError_t code =
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, c.place.device);
  RV_CHECK(code == cudaSuccess, c.kernel, Runtime,
           "the device does not tell how many processors it has: ", cudaGetErrorString(code));
  return count;
}

bool available(const Context& c) {
  int major = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, c.place.device) !=
      cudaSuccess)
    return false;
  cudaFuncAttributes attributes{};
  const bool loads = major == 9 && encoder() && pixel_encoder() &&
                     cudaFuncGetAttributes(&attributes, probe_kernel) == cudaSuccess;
  cudaGetLastError();
  return loads;
}

#else

TensorMap encoded(const Context&, const MatrixMap& m) { return m; }
ImageMap encoded(const Context&, const PixelMap& m) { return m; }
int processors(const Context&) { return 3; }  // few, so that blocks take several tiles
bool available(const Context& c) { return c.place.device >= 0; }

#endif

}  // namespace ranvier::hopper
