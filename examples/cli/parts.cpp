#include "parts.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

#include "numbers.hpp"
#include "shell.hpp"

namespace qlora::cli {
namespace {

/// The command as it was given, without what is said of parts.
std::string repeated(CLI::App const& command) {
  auto text = "qlora " + command.get_name();
  for (auto const* const option : command.get_options()) {
    auto const name = option->get_single_name();
    if (option->count() == 0 || name == "slurm" || name == "part" || name == "resume") continue;
    text += " --" + name;
    if (option->get_expected_max() == 0) continue;  // a switch
    for (auto const& value : option->results()) text += " " + shell_word(value);
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

std::string slurm_script(CLI::App const& command, int parts) {
  auto const again = repeated(command);
  auto const count = std::to_string(parts);
  return "#!/usr/bin/env bash\n"
         "# Runs a study as a Slurm array of " +
         count +
         " jobs, and then makes its report. What is given\n"
         "# to this script, sbatch gets: --partition, --gres=gpu:1, --cpus-per-task, --time and so "
         "on.\n"
         "set -euo pipefail\n"
         "runs=$(sbatch --parsable --array=1-" +
         count +
         " \"$@\" <<'JOB'\n"
         "#!/usr/bin/env bash\n"
         "exec " +
         again + " --part \"$SLURM_ARRAY_TASK_ID/" + count +
         "\"\n"
         "JOB\n"
         ")\n"
         "sbatch --dependency=\"afterany:${runs%%;*}\" \"$@\" <<'JOB'\n"
         "#!/usr/bin/env bash\n"
         "exec " +
         again +
         " --resume\n"
         "JOB\n";
}

}  // namespace qlora::cli
