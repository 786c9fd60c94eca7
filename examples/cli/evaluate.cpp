// qlora evaluate: metrics of a model, or of an adapter on it, on labelled proteins.
#include <iostream>
#include <memory>
#include <string>

#include <qlora/report/table.hpp>

#include "adapter_options.hpp"
#include "commands.hpp"
#include "evaluation.hpp"
#include "files.hpp"

namespace qlora::cli {
namespace {

struct Evaluate {
  AdapterOptions adapter;
  std::string data, out;

  void operator()() {
    if (!out.empty()) check_output(out);
    auto const set = DataSet::read(data);
    if (!adapter.machine.quiet) set.report_skipped();
    auto const session = adapter.open();
    auto const scores = evaluate(*session, set, "evaluate", adapter.machine.progress());
    auto table = report::Table{{{"metric", report::Align::left}, {"value"}}};
    for (auto const& [name, value] : scores.values) table.add({name, value});
    table.add({"residues", scores.residues()}).add({"proteins", scores.proteins});
    std::cout << table.text();
    if (!out.empty()) write_json(out, scores);
  }
};

}  // namespace

void add_evaluate(CLI::App& app) {
  auto* const command = app.add_subcommand("evaluate", "Metrics on labelled proteins.");
  auto const evaluate = std::make_shared<Evaluate>();
  add_required(*command, "--data", evaluate->data, "labelled proteins");
  add_option(*command, "--out", evaluate->out, "JSON file for the metrics");
  evaluate->adapter.add_to(*command);
  command->footer(
      "Example:\n  qlora evaluate --model facebook/esm2_t6_8M_UR50D --adapter adapter \\\n"
      "      --data test.txt --out metrics.json");
  command->callback([evaluate] { (*evaluate)(); });
}

}  // namespace qlora::cli
