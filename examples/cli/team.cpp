#include "team.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/thread_pool.hpp>
#include <qlora/dist/launcher.hpp>

#if defined(QLORA_HAS_MPI)
#include <qlora/dist/mpi.hpp>
#endif

#include "files.hpp"
#include "hash.hpp"
#include "numbers.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

dist::Any& here() {
  static auto communicator = dist::Any{};
  return communicator;
}

#if defined(QLORA_HAS_MPI)

std::chrono::duration<double> patience() {
  constexpr auto name = "QLORA_RANK_TIMEOUT";
  auto const* const text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  if (text == nullptr) return std::chrono::seconds{30};
  auto const seconds = parse_number<double>(text);
  if (!seconds || !(*seconds > 0. && *seconds <= 1e6)) {
    throw InputError{std::string{name} + ": expected seconds, above 0 and at most 1e6, found " +
                     printable(text)};
  }
  return std::chrono::duration<double>{*seconds};
}

/// Of the team that there is, and whether all of it has met after an error.
dist::Mpi* mpi = nullptr;
bool have_met = false;

#endif

}  // namespace

Team::Team() {
#if defined(QLORA_HAS_MPI)
  if (!dist::is_launched()) return;
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
#if defined(QLORA_HAS_MPI) && defined(__linux__)
  if (mpi == nullptr) return threads;
  // What a launcher has bound to cores of its own need not share them.
  struct Place {
    std::array<char, 64> machine{};
    cpu_set_t processors{};
    bool operator==(Place const& other) const {
      return machine == other.machine && CPU_EQUAL(&processors, &other.processors);
    }
  };
  auto here = Place{};
  ::gethostname(here.machine.data(), here.machine.size() - 1);
  ::sched_getaffinity(0, sizeof here.processors, &here.processors);
  auto const sharing = static_cast<int>(std::ranges::count(gather(here), here));
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  return std::getenv("OMP_NUM_THREADS") != nullptr ? threads : std::max(1, threads / sharing);
#else
  return threads;
#endif
}

void Team::expect_all() {
  auto const launched = dist::launched();
  if (!launched || launched->size == 1 || size() > 1) return;
  auto const variable = std::string{launched->variable};
  throw InputError{
      "expected " + std::to_string(launched->size) + " processes that find each other, as " +
      variable +
      " says, found one alone; start them with `srun --mpi=pmix`, or the mpirun of the "
      "MPI that qlora was built with, or unset " +
      variable};
}

void Team::expect_same(std::string const& text, std::string const& what) {
  if (size() == 1) return;
  auto hash = Hash{};
  hash.add(std::as_bytes(std::span{text}));
  auto digits = std::array<char, 32>{};
  std::ranges::copy(hash.text(), digits.begin());
  auto const all = gather(digits);
  for (auto r = std::size_t{1}; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    throw InputError{"expected " + what + " of all processes, found others with rank " +
                     std::to_string(r) + " than with rank 0"};
  }
}

void Team::expect_shared(std::filesystem::path const& file) {
  wait();
  if (size() == 1) return;
  expect_same(finds(file) ? file_fingerprint(file) : "none", "the same " + file.string());
}

bool Team::finds(std::filesystem::path const& file) {
  auto ignored = std::error_code{};
  for (auto i = 0; size() > 1 && i < 50 && !std::filesystem::exists(file, ignored); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
  }
  return std::filesystem::exists(file, ignored);
}

void Team::wait() {
#if defined(QLORA_HAS_MPI)
  using enum dist::Mpi::Meeting;
  if (mpi == nullptr) return;
  Termination::check();  // others may have gone already
  if (!mpi->meet(on_the_way, Termination::requested)) throw Terminated{};
#endif
}

std::optional<std::string> Team::place_of_error([[maybe_unused]] bool terminated) {
#if defined(QLORA_HAS_MPI)
  if (mpi != nullptr && size() > 1) {
    using Clock = std::chrono::steady_clock;
    auto const start = Clock::now();
    // One that is stopped finishes a step first; hearts that do not beat are noticed elsewhere.
    auto const time = terminated ? std::chrono::seconds{30} : std::chrono::seconds{2};
    have_met =
        mpi->meet(dist::Mpi::Meeting::after_error, [&] { return Clock::now() - start > time; });
    if (!is_first()) {
      return have_met ? std::nullopt : std::optional{"rank " + std::to_string(rank()) + ": "};
    }
  }
#endif
  return std::string{};
}

int Team::end(int status) {
#if defined(QLORA_HAS_MPI)
  if (status != 0 && size() > 1 && !have_met) dist::Mpi::abort(status);
  if (mpi != nullptr) mpi->will_end(status);
#endif
  return status;
}

}  // namespace qlora::cli
