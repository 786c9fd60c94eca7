// qlora: the command line over the library. It reads a model's sizes from its folder and chooses
// policies at run time; everything it computes is in include/qlora.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <CLI/CLI.hpp>

#include <qlora/core/error.hpp>
#include <qlora/report/terminal.hpp>
#include <qlora/version.hpp>

#include "arguments.hpp"
#include "commands.hpp"
#include "notes.hpp"
#include "out_of_memory.hpp"
#include "team.hpp"
#include "termination.hpp"

namespace {

using qlora::cli::Team;

constexpr int failed = 1;
constexpr int bad_input = 2;

int complain(std::string sentence, int status) {
  while (!sentence.empty() && sentence.back() == '\n') sentence.pop_back();
  // A name of a file may have any characters, and the terminal is to get one line.
  std::ranges::replace_if(
      sentence, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  auto const place = Team::place_of_error(status == qlora::cli::terminated_status);
  if (!place) return status;
  sentence.insert(0, *place);
  auto const terminal = qlora::report::Terminal::of(stderr);
  std::cerr << terminal.styled("qlora:", qlora::report::Style::bad) << " " << sentence << "\n";
  return status;
}

/// Says what was thrown where nothing may be: a destructor that wants memory, say, as those of JSON
/// documents do.
[[noreturn]] void give_up() {
  try {
    if (auto const thrown = std::current_exception()) std::rethrow_exception(thrown);
    qlora::cli::rethrow_refused();
    complain("an unknown error", failed);
  } catch (std::exception const& error) {
    complain(error.what(), failed);
  } catch (...) {
    complain("an unknown error", failed);
  }
  std::_Exit(failed);
}

/// Several processes would all do the same but for a few commands.
void refuse_teams(CLI::App& app) {
  if (Team::size() == 1) return;
  for (auto* const command : app.get_subcommands({})) {
    auto const& name = command->get_name();
    if (name == "train" || name == "compare" || name == "demo" || name == "sweep") continue;
    command->preparse_callback([name](std::size_t) {
      throw qlora::InputError{name + ": expected one process, found " +
                              std::to_string(Team::size()) + " that work together"};
    });
  }
}

int run(std::vector<std::string> arguments) {
  auto app = CLI::App{"Fine-tunes ESM-2 with QLoRA to find binding sites in proteins.", "qlora"};
  app.set_version_flag("--version", std::string{qlora::version});
  app.require_subcommand(1);
  app.footer("`qlora COMMAND --help` shows a command's flags, their defaults and an example.");
  qlora::cli::add_demo(app);
  qlora::cli::add_compare(app);
  qlora::cli::add_train(app);
  qlora::cli::add_evaluate(app);
  qlora::cli::add_predict(app);
  qlora::cli::add_merge(app);
  qlora::cli::add_quantize(app);
  qlora::cli::add_import(app);
  qlora::cli::add_inspect(app);
  qlora::cli::add_memory(app);
  qlora::cli::add_prepare(app);
  qlora::cli::add_sweep(app);
  qlora::cli::add_synth(app);
  qlora::cli::add_completion(app);
  qlora::cli::add_manual(app);
  refuse_teams(app);
  auto status = EXIT_SUCCESS;
  try {
    arguments = qlora::cli::expand(app, arguments);
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app.parse(std::move(arguments));
    qlora::cli::say_notes();
  } catch (CLI::Success const& request) {  // --help, --version
    status = app.exit(request);
  } catch (CLI::ParseError const& error) {
    return complain(error.what(), bad_input);
  }
  if (!std::cout.flush()) throw qlora::SystemError{"standard output: cannot write to it"};
  return status;
}

/// What `body` returns, or the status of what it throws.
template <class Body>
int guarded(Body&& body) try {
  return body();
} catch (qlora::cli::Terminated const& request) {
  return complain(request.what(), qlora::cli::terminated_status);
} catch (qlora::InputError const& error) {
  return complain(error.what(), bad_input);
} catch (std::bad_alloc const& error) {  // of a library that calls malloc itself: says no more
  auto const said = std::string{error.what()};
  return complain(said.find("bytes") != said.npos ? said : "out of memory", failed);
} catch (std::exception const& error) {
  return complain(error.what(), failed);
}

/// Opens what is closed of the standard streams, for what it is not for, so that its use fails as
/// before, and no file that is written gets its number, and with it the program's messages.
bool occupy_standard_streams() {
  for (auto stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    if (::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (!occupy_standard_streams()) return failed;
#if defined(__GLIBC__)
  // A freed matrix goes back to the system; its place in the heap would soon hold something small,
  // and the next matrix need a new one.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);  // NOLINT(concurrency-mt-unsafe): no thread runs yet
#endif
  std::set_terminate(give_up);
  return guarded([&] {
    auto const team = Team{};
    qlora::cli::Termination::install();
    auto const status = guarded([&] { return run({argv + 1, argv + argc}); });
    return Team::end(status);
  });
}
