# cmake -DSOURCE=... -DTREE=... -DCOMPILER=... -P check.cmake WAY: uses the library from outside,
# as an installed package (after WAY install), a subdirectory, or nothing but headers; or configures it
# on a machine that lacks a part.
math(EXPR last "${CMAKE_ARGC} - 1")
set(way ${CMAKE_ARGV${last}})
set(prefix ${TREE}/package/prefix)
set(consumer ${SOURCE}/tests/package)
set(out ${TREE}/package/${way})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Configures, builds and runs the consumer in the folder WAY.
function(build)
  run(${CMAKE_COMMAND} -S ${consumer}/${way} -B ${out} -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER} ${ARGN})
  run(${CMAKE_COMMAND} --build ${out})
  run(${out}/consumer)
endfunction()

file(REMOVE_RECURSE ${out})
if(way STREQUAL "install")
  file(REMOVE_RECURSE ${prefix})
  run(${CMAKE_COMMAND} --install ${TREE} --prefix ${prefix})
  foreach(file IN ITEMS share/man/man1/qlora.1 share/bash-completion/completions/qlora
      share/zsh/site-functions/_qlora share/fish/vendor_completions.d/qlora.fish)
    if(EXISTS ${prefix}/bin/qlora AND NOT EXISTS ${prefix}/${file})
      message(FATAL_ERROR "${prefix}/${file} is missing")
    endif()
  endforeach()
elseif(way STREQUAL "find_package")
  build(-DCMAKE_PREFIX_PATH=${prefix})
elseif(way STREQUAL "add_subdirectory")
  build(-DQLORA=${SOURCE})
elseif(way STREQUAL "without_mpi") # FindMPI makes its target even then
  file(MAKE_DIRECTORY ${out})
  run(${CMAKE_COMMAND} -S ${SOURCE} -B ${out} -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER} -DQLORA_TESTS=OFF
      -DMPI_SKIP_COMPILER_WRAPPER=ON -DMPI_CXX_HEADER_DIR=${out}
      -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON)
  file(STRINGS ${out}/build.ninja uses REGEX QLORA_HAS_MPI)
  if(uses)
    message(FATAL_ERROR "MPI, which is not there, is used: ${uses}")
  endif()
else() # plain, two_units
  file(MAKE_DIRECTORY ${out})
  file(GLOB sources ${consumer}/${way}/*.cpp)
  set(compile ${COMPILER} -std=c++20 -Wall -Wextra -Werror -I ${SOURCE}/include -isystem /usr/include/eigen3)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    list(APPEND objects ${out}/${name}.o)
    run(${compile} -c ${source} -o ${out}/${name}.o)
  endforeach()
  run(${compile} ${objects} -o ${out}/consumer)
  run(${out}/consumer)
endif()
