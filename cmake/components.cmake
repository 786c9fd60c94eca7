# Targets of the parts that need more than headers. Used by the build and by the installed package,
# so that a program finds what its own machine has. QLORA_ONEDNN, QLORA_ZLIB, QLORA_MPI, QLORA_CUDA,
# QLORA_CUDNN and QLORA_NCCL: AUTO, ON or OFF.

# qlora_find_component(NAME PACKAGE IMPORTED_TARGET...): qlora::NAME, if the package, followed by a
# version or components where they matter, is found and has all the targets. Both are asked, since
# FindMPI makes its target of nothing.
function(qlora_find_component name package)
  string(TOUPPER ${name} option)
  if(TARGET qlora::${name} OR "${QLORA_${option}}" STREQUAL "OFF")
    return()
  endif()
  if("${QLORA_${option}}" STREQUAL "ON")
    find_package(${package} REQUIRED)
  else()
    find_package(${package} QUIET)
  endif()
  list(GET package 0 package)
  if(NOT ${package}_FOUND)
    return()
  endif()
  foreach(target IN LISTS ARGN)
    if(NOT TARGET ${target})
      return()
    endif()
  endforeach()
  add_library(qlora::${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(qlora::${name} INTERFACE qlora::qlora ${ARGN})
endfunction()

qlora_find_component(onednn OneDNN OneDNN::OneDNN)
if(TARGET qlora::onednn)
  target_compile_definitions(qlora::onednn INTERFACE QLORA_HAS_ONEDNN=1)
endif()

qlora_find_component(zlib ZLIB ZLIB::ZLIB)
if(TARGET qlora::zlib)
  target_compile_definitions(qlora::zlib INTERFACE QLORA_HAS_ZLIB=1)
endif()

# MPI's C interface; that of C++, which it has given up, is left out.
qlora_find_component(mpi "MPI;COMPONENTS;CXX" MPI::MPI_CXX)
if(TARGET qlora::mpi)
  target_compile_definitions(qlora::mpi INTERFACE QLORA_HAS_MPI=1 OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
endif()

# CUDA sources themselves: the program enables the language. Nothing links the driver.
qlora_find_component(cuda CUDAToolkit CUDA::cudart_static CUDA::cublasLt)
if(TARGET qlora::cuda)
  target_compile_options(
    qlora::cuda INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
  if(OpenMP_CXX_FLAGS)
    target_compile_options(
      qlora::cuda INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${OpenMP_CXX_FLAGS}>)
  endif()
  # Attention by cuDNN, for programs that link it.
  qlora_find_component(cudnn "CuDNN;9.8" CuDNN::CuDNN qlora::cuda)
  if(TARGET qlora::cudnn)
    target_compile_definitions(qlora::cudnn INTERFACE QLORA_HAS_CUDNN=1)
  endif()
  # GPUs that train together, for programs that link it.
  qlora_find_component(nccl NCCL NCCL::NCCL qlora::cuda)
  if(TARGET qlora::nccl)
    target_compile_definitions(qlora::nccl INTERFACE QLORA_HAS_NCCL=1)
  endif()
endif()
