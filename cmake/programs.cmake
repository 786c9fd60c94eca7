# How this project's own programs are built; nothing of it reaches users of the library.

if(PROJECT_IS_TOP_LEVEL)
  find_program(QLORA_CCACHE ccache)
  mark_as_advanced(QLORA_CCACHE)
endif()

if(TARGET qlora::cuda)
  find_program(QLORA_NVCC nvcc HINTS ${CUDAToolkit_BIN_DIR})
  mark_as_advanced(QLORA_NVCC)
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${QLORA_NVCC})
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has C++20
    string(APPEND CMAKE_CUDA_FLAGS " -std=c++20")
  endif()
endif()

# Warnings are errors.
set(QLORA_WARNINGS -Wall -Wextra -Wconversion -Werror)
list(JOIN QLORA_WARNINGS "," host_warnings)
add_library(qlora_warnings INTERFACE)
target_compile_options(
  qlora_warnings
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${QLORA_WARNINGS}>
            $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${host_warnings};-Werror=all-warnings>)

# Sources of a program read the same heavy headers: several at once compile in a fraction of the
# time. OFF gives each a command of its own, which clang-tidy wants.
option(QLORA_UNITY "Compile sources of a program together" ON)

# qlora_add_program(NAME SOURCE...): an executable with everything that was found.
function(qlora_add_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE qlora::qlora qlora_warnings)
  set_target_properties(
    ${name} PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  foreach(part IN ITEMS onednn zlib)
    if(TARGET qlora::${part})
      target_link_libraries(${name} PRIVATE qlora::${part})
    endif()
  endforeach()
  if(TARGET qlora::cuda)
    target_link_libraries(${name} PRIVATE qlora::cuda)
    set_target_properties(${name} PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF)
  endif()
endfunction()
