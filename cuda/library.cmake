# The CUDA kernels, as libraries of their own that the package opens at run time: for GPUs by nvcc
# (RANVIER_CUDA), and for the host, to test them anywhere (RANVIER_EMULATION). Both from one source.
file(GLOB device_kernels CONFIGURE_DEPENDS cuda/ops/*.cu)
list(APPEND device_kernels cuda/core/matrices.cu)
file(GLOB hopper_kernels CONFIGURE_DEPENDS cuda/hopper/*.cu)  # for sm_90a alone

function(ranvier_device_library name)
  add_library(${name} MODULE cuda/core/library.cpp ${ARGN})
  target_include_directories(${name} PRIVATE csrc "${CMAKE_CURRENT_SOURCE_DIR}")
  # The folder of the extension module; no `lib` in front is promised by the name alone.
  set_target_properties(${name} PROPERTIES PREFIX "" OUTPUT_NAME _${name} SUFFIX ".so")
  if(RANVIER_INPLACE)
    set_target_properties(${name} PROPERTIES
                          LIBRARY_OUTPUT_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}/python/ranvier")
  endif()
  install(TARGETS ${name} LIBRARY DESTINATION ranvier)
endfunction()

set(emulation_sources cuda/core/emulation.cpp cuda/core/emulated_device.cpp
    cuda/core/emulated_hopper.cpp)
# -O2: sizes and compile time matter here, speed little. Kernels are full of CUDA's own idioms.
set(emulation_options -O2 -ffp-contract=off -fno-math-errno -Wall -Wextra -Wno-unknown-pragmas)
if(RANVIER_WERROR)
  list(APPEND emulation_options -Werror)
endif()
if(RANVIER_EMULATION OR RANVIER_EMULATION_TRAFFIC)
  set_source_files_properties(${device_kernels} ${hopper_kernels} PROPERTIES LANGUAGE CXX)
  set_source_files_properties(${device_kernels} ${hopper_kernels} PROPERTIES COMPILE_OPTIONS "-xc++")
endif()

if(RANVIER_EMULATION)
  ranvier_device_library(emulation ${emulation_sources} ${device_kernels} ${hopper_kernels})
  target_compile_options(emulation PRIVATE ${emulation_options})
endif()

# The emulation with a call for each load, store and basic block: see cuda/core/traffic.cpp. The
# sanitizers' own libraries stay away.
if(RANVIER_EMULATION_TRAFFIC)
  add_library(traffic_kernels OBJECT ${device_kernels} ${hopper_kernels})
  target_include_directories(traffic_kernels PRIVATE csrc "${CMAKE_CURRENT_SOURCE_DIR}")
  # Of -O2 only what inlines, and blocks as the source has them: the rest makes copies of code, or
  # puts before what comes after, and lanes that took different ways do not meet again.
  target_compile_options(traffic_kernels PRIVATE ${emulation_options} -O1 -finline-small-functions
                         -fno-reorder-blocks -g1 -fsanitize=thread -fsanitize-coverage=trace-pc)
  ranvier_device_library(traffic ${emulation_sources} cuda/core/traffic.cpp
                         $<TARGET_OBJECTS:traffic_kernels>)
  target_compile_options(traffic PRIVATE ${emulation_options})
  target_link_options(traffic PRIVATE -Wl,--no-undefined)
endif()

if(NOT RANVIER_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER AND (RANVIER_EMULATION OR RANVIER_EMULATION_TRAFFIC))
    message(FATAL_ERROR "RANVIER_CUDA and RANVIER_EMULATION read one source in two languages: "
                        "build them in two folders.")
  elseif(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES "${RANVIER_CUDA_ARCHITECTURES}")
    enable_language(CUDA)
    # CMake before 3.26 does not know this flag of the newer compilers.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    add_library(cuda_hopper OBJECT ${hopper_kernels})
    target_include_directories(cuda_hopper PRIVATE csrc "${CMAKE_CURRENT_SOURCE_DIR}")
    ranvier_device_library(cuda cuda/core/cuda.cu ${device_kernels} $<TARGET_OBJECTS:cuda_hopper>)
    string(REPLACE ";" " " architectures "${RANVIER_CUDA_ARCHITECTURES}")
    # -fmad=false: multiply-adds are fused where the source says so, as on the CPU.
    foreach(part cuda cuda_hopper)
      set_target_properties(${part} PROPERTIES CUDA_STANDARD 20 CUDA_RUNTIME_LIBRARY Static
                            POSITION_INDEPENDENT_CODE ON CUDA_VISIBILITY_PRESET hidden)
      target_compile_options(${part} PRIVATE
        $<$<COMPILE_LANGUAGE:CUDA>:-O3 -fmad=false -Werror=all-warnings -Xfatbin=-compress-all
          --expt-relaxed-constexpr>)
    endforeach()
    set_target_properties(cuda PROPERTIES CUDA_ARCHITECTURES "${RANVIER_CUDA_ARCHITECTURES}")
    set_target_properties(cuda_hopper PROPERTIES CUDA_ARCHITECTURES "90a-real")
    set_source_files_properties(cuda/core/cuda.cu PROPERTIES
                                COMPILE_DEFINITIONS "RV_ARCHITECTURES=\"${architectures}\"")
  elseif(RANVIER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "RANVIER_CUDA=ON needs the CUDA toolkit (nvcc on the PATH, or CUDACXX). "
                        "Install it, or leave RANVIER_CUDA off.")
  else()
    message(STATUS "RANVIER_CUDA=AUTO: no CUDA compiler, the CUDA library is left out.")
  endif()
endif()
