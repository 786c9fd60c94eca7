// qlora synth: synthetic protein families with planted binding sites.
#include <iostream>
#include <memory>
#include <string>

#include <qlora/core/output_folder.hpp>
#include <qlora/report/table.hpp>
#include <qlora/synth/corpus.hpp>

#include "commands.hpp"
#include "files.hpp"
#include "options.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

struct Synth {
  synth::Options options;
  MachineOptions machine;
  std::string out;

  void operator()() {
    machine.apply();
    options.seed = machine.seed;
    refuse_occupied(out);
    auto const corpus = synth::generate(options);
    auto const termination = Termination{};  // leaves no part of a corpus
    synth::write(corpus, out, Termination::check);
    auto table = report::Table{{{"split", report::Align::left},
                                {"proteins"},
                                {"residues"},
                                {"positives"},
                                {"% positive", report::Align::right, 2}}};
    auto const add = [&](char const* name, std::vector<Protein> const& proteins) {
      auto const counts = synth::summary(proteins);
      auto const residues = counts["residues"].get<double>();
      auto const positives = counts["positives"].get<double>();
      table.add({name, proteins.size(), static_cast<std::int64_t>(residues),
                 static_cast<std::int64_t>(positives), 100. * positives / residues});
    };
    add("train", corpus.train);
    add("valid", corpus.valid);
    add("test", corpus.test);
    std::cout << table.text();
  }
};

}  // namespace

void add_synth(CLI::App& app) {
  auto* const command =
      app.add_subcommand("synth", "Synthetic protein families with planted binding sites.");
  auto const synth = std::make_shared<Synth>();
  auto& options = synth->options;
  add_required(*command, "--out", synth->out,
               "folder to fill: train.txt, valid.txt, test.txt, truth, groups.tsv");
  add_option(*command, "--families", options.families, "families over the three splits")
      ->check(CLI::Range(1, 10'000'000));
  add_option(*command, "--members", options.members, "proteins of a family")
      ->check(CLI::Range(1, 1'000'000));
  add_option(*command, "--valid-percent", options.valid_percent, "of the families")
      ->check(CLI::Range(0, 100));
  add_option(*command, "--test-percent", options.test_percent, "of the families")
      ->check(CLI::Range(0, 100));
  add_option(*command, "--hidden-percent", options.hidden_percent,
             "of the sites, which the labels call none, as where annotation is missing; truth/ has "
             "all of them")
      ->check(CLI::Range(0, 100));
  add_option(*command, "--pretraining", options.pretraining_families,
             "further families, in no split, for pretrain.fasta")
      ->check(CLI::Range(0, 10'000'000));
  synth->machine.add_to(*command);
  add_config(*command);
  command->footer("Example:\n  qlora synth --out corpus --families 80");
  command->callback([synth] { (*synth)(); });
}

}  // namespace qlora::cli
