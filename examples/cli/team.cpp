#include "team.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <qlora/core/error.hpp>
#include <qlora/core/thread_pool.hpp>

#if defined(QLORA_HAS_MPI)
#include <qlora/dist/mpi.hpp>
#endif

#include "numbers.hpp"

namespace qlora::cli {
namespace {

dist::Any& here() {
  static auto communicator = dist::Any{};
  return communicator;
}

#if defined(QLORA_HAS_MPI)

/// Whether a launcher says that it started this process as one of several: without it, MPI would
/// only cost time.
bool is_launched() {
  for (auto const* const name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;  // NOLINT(concurrency-mt-unsafe)
  }
  return false;
}

std::chrono::duration<double> patience() {
  constexpr auto name = "QLORA_RANK_TIMEOUT";
  auto const* const text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  if (text == nullptr) return std::chrono::seconds{30};
  auto const seconds = parse_number<double>(text);
  if (!seconds || !(*seconds > 0.)) {
    throw InputError{std::string{name} + ": expected a number of seconds above 0, found " + text};
  }
  return std::chrono::duration<double>{*seconds};
}

/// Of the team that there is.
dist::Mpi* mpi = nullptr;

#endif

}  // namespace

Team::Team() {
#if defined(QLORA_HAS_MPI)
  if (!is_launched()) return;
  auto joined = std::make_unique<dist::Mpi>(patience());
  mpi = joined.get();
  here() = dist::Any{std::move(joined)};
  if (is_first()) return;
  auto const nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) ::dup2(nowhere, STDOUT_FILENO);
#endif
}

Team::~Team() {
  here() = dist::Any{};
}

dist::Any& Team::communicator() {
  return here();
}

int Team::local_rank() {
#if defined(QLORA_HAS_MPI)
  if (mpi != nullptr) return mpi->local_rank();
#endif
  return 0;
}

int Team::default_threads() {
  auto const threads = ThreadPool::default_threads();
#if defined(QLORA_HAS_MPI)
  // A launcher that binds processes to cores, or a user who counts threads, has decided already.
  auto const is_bound = threads < ::sysconf(_SC_NPROCESSORS_ONLN);
  if (mpi != nullptr && !is_bound) return std::max(1, threads / mpi->local_size());
#endif
  return threads;
}

std::string Team::place_of_error() {
  if (is_first()) return {};
  std::this_thread::sleep_for(std::chrono::seconds{1});
  return "rank " + std::to_string(rank()) + ": ";
}

int Team::end(int status, bool terminated) {
#if defined(QLORA_HAS_MPI)
  if (status != 0 && size() > 1) {
    if (!terminated || !mpi->meet(std::chrono::seconds{5})) dist::Mpi::abort(status);
  }
#else
  std::ignore = terminated;
#endif
  return status;
}

}  // namespace qlora::cli
