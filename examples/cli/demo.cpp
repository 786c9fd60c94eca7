// qlora demo: the main job on the embedded default, which needs no data and no downloads.
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include <qlora/core/error.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/synth/corpus.hpp>

#include "commands.hpp"
#include "compare.hpp"
#include "shared_files.hpp"
#include "team.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

struct Demo {
  CompareOptions compare;
  synth::Options corpus;
  std::string out = "qlora-demo";

  void operator()(CLI::App const& command) {
    auto const data = std::filesystem::path{out} / "data";
    compare.run.model = shared_file("nano-esm2").string();
    compare.files.train = (data / "train.txt").string();
    compare.files.valid = (data / "valid.txt").string();
    compare.files.test = (data / "test.txt").string();
    compare.out = (std::filesystem::path{out} / "study").string();
    compare.prepare();
    auto folder = std::optional<OutputFolder>{};  // goes again if nothing stays in it
    if (Team::is_first()) {
      refuse_occupied(out);
      auto const generated = synth::generate(corpus);
      auto const termination = Termination{};  // leaves no part of a corpus
      folder.emplace(out);
      synth::write(generated, data, Termination::check);
    }
    Team::wait();
    try {
      cli::compare(compare, command);
    } catch (InputError const&) {  // no data stay of a study that was refused
      auto ignored = std::error_code{};
      if (folder && !std::filesystem::exists(compare.out, ignored)) {
        std::filesystem::remove_all(data, ignored);
      }
      throw;
    }
  }
};

}  // namespace

void add_demo(CLI::App& app) {
  auto* const command = app.add_subcommand(
      "demo", "Compare placements on embedded synthetic data; needs no arguments.");
  auto const demo = std::make_shared<Demo>();
  add_name(*command, "--out", demo->out, "folder to fill: data and study");
  add_option(*command, "--families", demo->corpus.families, "synthetic protein families")
      ->check(CLI::Range(1, 1'000'000));
  add_option(*command, "--hidden-percent", demo->corpus.hidden_percent,
             "of the sites, which the labels call none, as where annotation is missing")
      ->check(CLI::Range(0, 100));
  demo->compare.add_to(*command);
  command->footer("Example:\n  qlora demo --seeds 3");
  command->callback([demo, command] { (*demo)(*command); });
}

}  // namespace qlora::cli
