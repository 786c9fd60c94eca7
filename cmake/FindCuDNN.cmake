# Finds cuDNN, beside CUDA or where the system has it: CuDNN::CuDNN.
if(TARGET CUDA::cudart_static)
  get_target_property(cudart CUDA::cudart_static IMPORTED_LOCATION)
  cmake_path(GET cudart PARENT_PATH libraries)
endif()
find_library(CuDNN_LIBRARY cudnn HINTS ${libraries})
find_path(CuDNN_INCLUDE_DIR cudnn_version.h HINTS ${libraries}/../include)
mark_as_advanced(CuDNN_INCLUDE_DIR CuDNN_LIBRARY)

if(CuDNN_INCLUDE_DIR)
  file(STRINGS ${CuDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "define CUDNN_(MAJOR|MINOR) ")
  string(REGEX REPLACE "[^0-9]+" "." CuDNN_VERSION "${lines}")
  string(REGEX REPLACE "^\\.|\\.$" "" CuDNN_VERSION "${CuDNN_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  CuDNN REQUIRED_VARS CuDNN_LIBRARY CuDNN_INCLUDE_DIR VERSION_VAR CuDNN_VERSION)

if(CuDNN_FOUND AND NOT TARGET CuDNN::CuDNN)
  add_library(CuDNN::CuDNN UNKNOWN IMPORTED)
  set_target_properties(CuDNN::CuDNN PROPERTIES IMPORTED_LOCATION ${CuDNN_LIBRARY})
  target_include_directories(CuDNN::CuDNN INTERFACE ${CuDNN_INCLUDE_DIR})
endif()
