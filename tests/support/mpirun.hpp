/// Programs that mpirun starts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "support/program.hpp"

namespace qlora::testing {

/// Status and output of `mpirun -n RANKS PROGRAM ARGUMENTS`, run in `folder`.
inline Outcome mpirun(int ranks, std::string const& program,
                      std::vector<std::string> const& arguments,
                      std::filesystem::path const& folder) {
  // As root, more of them than cores, and without what a container does not allow. Open MPI leaves
  // memory behind, which is for its own tests to mind.
  auto command = std::vector<std::string>{"OMPI_ALLOW_RUN_AS_ROOT=1",
                                          "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                          "OMPI_MCA_rmaps_base_oversubscribe=1",
                                          "OMPI_MCA_btl_vader_single_copy_mechanism=none",
                                          "ASAN_OPTIONS=detect_leaks=0",
                                          QLORA_MPIRUN,
                                          "-n",
                                          std::to_string(ranks),
                                          program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program("/usr/bin/env", command, folder);
}

}  // namespace qlora::testing
