/// The processes that mpirun or srun started together and that share the work of one command; this
/// is one of them. Without MPI, or started alone, it is the only one.
#pragma once

#include <filesystem>
#include <optional>
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
  /// This process's part of the threads that it may use.
  static int default_threads();
  /// What each has of it, in the order of ranks.
  template <class T>
  static std::vector<T> gather(T const& own) {
    return dist::Collective{communicator()}.each(own);
  }
  /// The same, of `counts` elements that each has.
  template <class T>
  static std::vector<T> gather(std::vector<T> const& own, std::vector<std::size_t> const& counts) {
    return dist::Collective{communicator()}.gather(std::span<T const>{own},
                                                   std::span<std::size_t const>{counts});
  }
  /// Throws InputError where a launcher started several processes that do not find each other: each
  /// would make the same, and in the same folder.
  static void expect_all();
  /// Throws InputError, "expected WHAT, found others", unless all have the same text.
  static void expect_same(std::string const& text, std::string const& what);
  /// Throws InputError unless all find the same file there, which the first has written.
  static void expect_shared(std::filesystem::path const& file);
  /// Whether a file is there that another may have written: a network's file system may show it
  /// late.
  static bool finds(std::filesystem::path const& file);
  /// Returns when all have come here. Throws Terminated where SIGTERM comes before.
  static void wait();

  /// After an error, before it is said: waits a moment for the others. Where all come, because all
  /// have found it, or were stopped by SIGTERM and have left a checkpoint, the first is to speak;
  /// else whoever has found it. Nothing: this one is silent; else what to say in front.
  static std::optional<std::string> place_of_error(bool terminated);
  /// Ends the others, too, with that status, unless it is 0 or all have come to their end.
  static int end(int status);
};

}  // namespace qlora::cli
