/// What mpirun and srun tell the processes that they start.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace qlora::inline v1::dist {

/// Variables of the environment, one of which says that a launcher started this process for MPI.
inline constexpr auto rank_variables = std::array{"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
/// Likewise, as one of how many; the nearest launcher first, as one may run within another's step.
inline constexpr auto size_variables =
    std::array{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};

/// Whether MPI has others to find: without, it would only cost time.
inline bool is_launched() {
  return std::ranges::any_of(rank_variables, [](char const* name) {
    return std::getenv(name) != nullptr;  // NOLINT(concurrency-mt-unsafe)
  });
}

/// How many processes a launcher started together, and the variable that says so.
struct Launched {
  char const* variable;
  int size;
};
inline std::optional<Launched> launched() {
  for (auto const* const name : size_variables) {
    auto const* const text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    if (text == nullptr) continue;
    auto size = 0;
    auto const* const end = text + std::strlen(text);
    if (std::from_chars(text, end, size).ptr == end && size >= 1) return Launched{name, size};
  }
  return std::nullopt;
}

}  // namespace qlora::inline v1::dist
