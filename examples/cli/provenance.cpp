#include "provenance.hpp"

#include <utility>

#include <qlora/report/table.hpp>

#include "shell.hpp"

namespace qlora::cli {
Provenance Provenance::of(CLI::App const& command, std::filesystem::path const& out,
                          std::string settings, std::string model, std::string fingerprint) {
  return {.command = "qlora " + command.get_name() + " --config " +
                     shell_word((out / "config.toml").string()) + " --out again",
          .folder = std::filesystem::current_path().string(),
          .settings = std::move(settings),
          .model = std::move(model),
          .model_fingerprint = std::move(fingerprint)};
}

void add_provenance(report::Page& page, Provenance const& provenance, Splits const& splits) {
  auto data = report::Table{{{"split", report::Align::left},
                             {"records"},
                             {"skipped"},
                             {"file", report::Align::left},
                             {"fingerprint", report::Align::left}}};
  splits.for_each([&](char const* name, DataSet const& set) {
    auto skipped = std::size_t{0};
    for (auto const& [reason, count] : set.skipped) skipped += count;
    data.add({name, set.proteins.size(), skipped, set.file, set.fingerprint});
  });
  page.heading("How to repeat it");
  page.verbatim(provenance.command);
  page.paragraph("Paths are those in " + provenance.folder + ".");
  page.paragraph("Model: " + provenance.model + ", " + provenance.model_fingerprint);
  page.table(data);
  page.paragraph("config.toml:");
  page.verbatim(provenance.settings);
}

}  // namespace qlora::cli
