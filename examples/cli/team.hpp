/// The processes that mpirun or srun started together and that share the work of one command; this
/// is one of them. Without MPI, or started alone, it is the only one.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <qlora/dist/any.hpp>
#include <qlora/dist/collective.hpp>

namespace qlora::cli {

class Team {
 public:
  /// Joins the others, if there are any, for as long as it lives. Of all but the first, standard
  /// output goes nowhere.
  Team();
  Team(Team const&) = delete;
  Team& operator=(Team const&) = delete;
  ~Team();

  /// What the process is of the team that there is, or of itself alone.
  static dist::Any& communicator();
  static int rank() { return communicator().rank(); }
  static int size() { return communicator().size(); }
  /// Whether it is the one that writes and speaks.
  static bool is_first() { return rank() == 0; }
  /// Among the processes of this machine.
  static int local_rank();
  /// This process's part of its machine's threads.
  static int default_threads();
  /// What each has of it, in the order of ranks.
  template <class T>
  static std::vector<T> gather(T const& own) {
    auto ranks = dist::Collective{communicator()};
    auto const counts = std::vector<std::size_t>(static_cast<std::size_t>(size()), 1);
    return ranks.gather(std::span<T const>{&own, 1}, std::span<std::size_t const>{counts});
  }
  /// Returns when all have come here.
  static void wait() { dist::Collective{communicator()}.wait(); }

  /// Before an error is said. Where all found the same one, the first says it; another has to wait
  /// whether it does. Returns what to say in front of it.
  static std::string place_of_error();
  /// Ends this process, and the others with it, by that status. Stopped by SIGTERM, those that are
  /// stopped as well are given time to leave a checkpoint.
  static int end(int status, bool terminated);
};

}  // namespace qlora::cli
