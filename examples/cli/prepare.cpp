// qlora prepare: files of annotated proteins become training, validation and test sets.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/data/prepare.hpp>
#include <qlora/data/write_prepared.hpp>
#include <qlora/report/table.hpp>

#include "commands.hpp"
#include "options.hpp"
#include "termination.hpp"

namespace qlora::cli {
namespace {

using report::Align;

constexpr auto most_residues = std::int64_t{1'000'000'000};

struct Prepare {
  std::vector<std::string> inputs;
  std::string out;
  std::string split = "superfamily";
  std::string sites = "binding,active";
  std::string evidence = "any";
  std::string ligand;
  std::string unannotated = "unknown";
  std::string alignment = "residue";
  double valid_fraction = .1;
  double test_fraction = .2;
  std::int64_t chunk_residues = 1000;
  MachineOptions machine;

  void operator()() {
    machine.apply();
    refuse_occupied(out);
    auto const options = chosen();
    auto const files = std::vector<std::filesystem::path>(inputs.begin(), inputs.end());
    auto data = qlora::prepare(files, options);
    auto const termination = Termination{};  // leaves no part of a data set
    auto const summary = write_prepared(std::move(data), options, out, Termination::check);
    print(summary);
    if (!machine.quiet) note_single_class(summary);
  }

  PrepareOptions chosen() const {
    auto options = PrepareOptions{};
    options.labels = {
        .binding = sites != "active",
        .active = sites != "binding",
        .evidence = evidence == "experimental" ? Evidence::experimental
                    : evidence == "manual"     ? Evidence::manual
                                               : Evidence::any,
        .ligand = ligand,
        .unannotated = unannotated == "negative" ? Unannotated::negative : Unannotated::unknown};
    if (split == "family") {
      options.group_by = GroupBy::family;
    } else if (split == "random") {
      options.group_by = GroupBy::protein;
    } else if (auto const prefix = std::string{"clusters:"}; split.starts_with(prefix)) {
      options.group_by = GroupBy::clusters;
      options.clusters = split.substr(prefix.size());
    } else if (split != "superfamily") {
      throw InputError{"--split: expected superfamily, family, clusters:FILE or random, found " +
                       printable(split)};
    }
    options.split = {
        .valid_fraction = valid_fraction, .test_fraction = test_fraction, .seed = machine.seed};
    options.chunk_residues = static_cast<std::size_t>(chunk_residues);
    if (alignment != "residue") options.alignment = LabelAlignment::legacy_shifted;
    return options;
  }

  /// Nothing can be trained with such data, and that is said before it is tried.
  static void note_single_class(Json const& summary) {
    auto const count = [&](char const* key) { return summary.at(key).get<std::int64_t>(); };
    auto const positives = count("positives");
    if (positives > 0 && count("residues") > positives + count("unknown")) return;
    std::cerr
        << (positives > 0
                ? "nothing can be trained: no residue is known to be no site, as in UniProt's "
                  "entries of active sites alone unless --unannotated negative is given\n"
                : "nothing can be trained: no residue is a site\n");
  }

  static void print(Json const& summary) {
    auto table = report::Table{{{"split", Align::left},
                                {"groups"},
                                {"proteins"},
                                {"chunks"},
                                {"residues"},
                                {"positives"},
                                {"unknown"}}};
    auto const add = [&](char const* name, Json const& counts) {
      auto const count = [&](char const* key) { return counts.at(key).get<std::int64_t>(); };
      table.add({name, count("groups"), count("kept"), count("chunks"), count("residues"),
                 count("positives"), count("unknown")});
    };
    for (auto const side : sides) {
      auto const name = std::string{side_name(side)};
      if (summary.contains(name)) add(name.c_str(), summary.at(name));
    }
    add("all", summary);
    std::cout << table.text();
    if (summary.at("skipped").empty()) return;
    auto skipped = report::Table{{{"records", Align::left}, {"count"}}};
    skipped.add({"read", summary.at("read").get<std::int64_t>()});
    for (auto const& [reason, count] : summary.at("skipped").items()) {
      skipped.add({"skipped: " + reason, count.get<std::int64_t>()});
    }
    std::cout << "\n" << skipped.text();
  }
};

}  // namespace

void add_prepare(CLI::App& app) {
  using CLI::IsMember;
  auto* const command = app.add_subcommand(
      "prepare", "Training, validation and test sets from files of annotated proteins.");
  auto const prepare = std::make_shared<Prepare>();
  command
      ->add_option("--input", prepare->inputs,
                   "files in any format, gzip-compressed or not: UniProt tables or flat text, "
                   "three-line labels, tables of Yu et al.")
      ->required();
  add_required(*command, "--out", prepare->out,
               "folder to fill: train.txt, valid.txt, test.txt, groups.tsv, summary.json");
  add_option(*command, "--split", prepare->split,
             "groups that stay together: superfamily, family, clusters:FILE (MMseqs2's table of "
             "representative and member) or random");
  add_option(*command, "--valid-fraction", prepare->valid_fraction, "of the proteins; 0: none");
  add_option(*command, "--test-fraction", prepare->test_fraction, "of the proteins; 0: none");
  add_option(*command, "--chunk", prepare->chunk_residues,
             "longer proteins are cut into chunks of so many residues")
      ->check(CLI::Range(std::int64_t{1}, most_residues));
  add_option(*command, "--sites", prepare->sites, "binding, active or binding,active")
      ->check(IsMember({"binding", "active", "binding,active", "active,binding"})
                  .description("{binding,active}"));
  add_option(*command, "--evidence", prepare->evidence,
             "the least that makes a site positive: experimental, manual or any; residues of "
             "weaker ones are unknown")
      ->check(IsMember({"experimental", "manual", "any"}));
  add_option(*command, "--ligand", prepare->ligand,
             "only binding sites of this ligand, by name or ChEBI identifier");
  add_option(*command, "--unannotated", prepare->unannotated,
             "residues of entries without any binding site: unknown, or negative as the model "
             "card had them")
      ->check(IsMember({"unknown", "negative"}));
  add_option(*command, "--label-alignment", prepare->alignment,
             "residue, or legacy-shifted: labels a residue too early, as in published copies of "
             "the model card's script, to reproduce old numbers")
      ->check(IsMember({"residue", "legacy-shifted"}));
  prepare->machine.add_to(*command);
  add_config(*command);
  command->footer(
      "Example:\n  qlora prepare --input uniprot.tsv.gz --evidence experimental --out data");
  command->callback([prepare] { (*prepare)(); });
}

}  // namespace qlora::cli
