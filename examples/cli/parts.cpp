#include "parts.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <string_view>
#include <system_error>
#include <thread>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/dist/launcher.hpp>

#include "files.hpp"
#include "numbers.hpp"
#include "options.hpp"
#include "shell.hpp"
#include "team.hpp"

namespace qlora::cli {
namespace {

/// The command with the values that its flags have, whatever they come from.
std::string repeated(CLI::App const& command) {
  auto ignored = std::error_code{};
  auto const program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  auto text = (ignored ? "qlora" : shell_word(program.string())) + " " + command.get_name();
  for (auto const* const option : command.get_options()) {
    auto const name = option->get_single_name();
    if (option->count() == 0 || name == "slurm" || name == "part" || name == "resume") continue;
    auto const is_switch = option->get_expected_max() == 0;
    auto const value = is_switch ? std::string{option->as<bool>() ? "true" : "false"}
                                 : option->reduced_results().back();
    text += " " + shell_word(std::string{"--"}.append(name).append("=").append(value));
  }
  return text;
}

}  // namespace

Part Part::parse(std::string const& text) {
  auto const slash = std::min(text.find('/'), text.size());
  auto const view = std::string_view{text};
  auto const number = parse_number<int>(view.substr(0, slash));
  auto const count = parse_number<int>(view.substr(std::min(slash + 1, text.size())));
  if (number && count && 1 <= *number && *number <= *count) return {*number - 1, *count};
  throw InputError{"--part: expected a part such as 2/8, found " + printable(text)};
}

std::vector<std::size_t> Part::of(std::vector<std::size_t> const& all) const {
  auto own = std::vector<std::size_t>{};
  for (auto i = static_cast<std::size_t>(number); i < all.size();
       i += static_cast<std::size_t>(count)) {
    own.push_back(all[i]);
  }
  return own;
}

std::vector<std::size_t> numbers(std::size_t runs) {
  auto all = std::vector<std::size_t>(runs);
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

void PartOptions::add_to(CLI::App& command) {
  add_option(command, "--part", part,
             "make this part of the runs, 1/8 to 8/8, and no report: several processes fill --out, "
             "and --resume without a part makes the report")
      ->check([](std::string const& text) {
        return std::string{text.empty() ? "expected a part such as 2/8, found none" : ""};
      })
      ->configurable(false);
  add_option(command, "--slurm", slurm,
             "run nothing, but print a script that has Slurm make so many parts and the report")
      ->check(CLI::Range(1, 1'000'000))
      ->configurable(false);
}

void PartOptions::check() const {
  if (!is_part()) return;
  Part::parse(part);
  if (slurm > 0) throw InputError{"--slurm: expected no --part beside it, found " + part};
  if (Team::size() > 1) throw InputError{"--part: expected one process, found several"};
}

Part PartOptions::own() const {
  return is_part() ? Part::parse(part) : Part{Team::rank(), Team::size()};
}

std::unique_ptr<FolderLock> claim_folder(std::filesystem::path const& out, bool is_part,
                                         std::function<void()> const& check) {
  if (out.empty()) refuse_occupied(out);
  create_folder(out);
  auto const start = std::chrono::steady_clock::now();
  for (auto lock = std::unique_ptr<FolderLock>{};;) {
    try {
      if (!lock) lock = std::make_unique<FolderLock>(out);
      check();
      if (!is_part) remove_unfinished(out);
      return lock;
    } catch (InputError const&) {
      // Where locks do not reach other machines, another part's files are the first.
      auto const patience = std::chrono::seconds{!lock || is_beginning(out) ? 120 : 3};
      if (!is_part || std::chrono::steady_clock::now() - start > patience) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
}

std::string slurm_script(CLI::App const& command, int parts) {
  auto const again = repeated(command);
  auto const count = std::to_string(parts);
  // A job that an interactive one submits would inherit what started that.
  auto start = std::string{"#!/usr/bin/env bash\nexec env"};
  for (auto const& variables : {dist::rank_variables, dist::size_variables}) {
    for (auto const* const name : variables) start.append(" -u ").append(name);
  }
  start += " " + again;
  return "#!/usr/bin/env bash\n"
         "# Runs a study as a Slurm array of " +
         count +
         " jobs, and then makes its report. What is given\n"
         "# to this script, sbatch gets: --partition, --gres=gpu:1, --cpus-per-task, --time and so "
         "on,\n"
         "# and --array=1-" +
         count +
         "%4 for at most four at once.\n"
         "set -euo pipefail\n"
         "runs=$(sbatch --parsable --array=1-" +
         count + " \"$@\" <<'JOB'\n" + start + " --part \"$SLURM_ARRAY_TASK_ID/" + count +
         "\"\nJOB\n)\n"
         "sbatch \"$@\" --array=0 --dependency=\"afterany:${runs%%;*}\" <<'JOB'\n" +
         start + " --resume\nJOB\n";
}

}  // namespace qlora::cli
