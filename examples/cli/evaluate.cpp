// qlora evaluate: metrics of a model, or of an adapter on it, on labelled proteins.
#include <cstddef>
#include <iostream>
#include <memory>
#include <string>

#include <qlora/report/study.hpp>
#include <qlora/report/table.hpp>

#include "adapter_options.hpp"
#include "commands.hpp"
#include "evaluation.hpp"
#include "files.hpp"
#include "grouping.hpp"
#include "intervals.hpp"
#include "notes.hpp"

namespace qlora::cli {
namespace {

struct Evaluate {
  AdapterOptions adapter;
  std::string data, groups, out;
  IntervalOptions intervals;

  void operator()() {
    if (!out.empty()) check_output(out);
    auto const set = DataSet::read(data);
    if (!adapter.machine.quiet) set.report_skipped();
    auto const grouping = Grouping::of({&set}, groups, {data}, adapter.machine.quiet);
    auto const session = adapter.open();
    auto resampled =
        intervals.collector(set.proteins, &grouping.groups.front(), session->class_weights());
    say_notes();
    auto const scores = evaluate(*session, set, "evaluate", adapter.machine.progress(),
                                 {.resampled = resampled ? &*resampled : nullptr});
    auto document = OrderedJson(scores);
    auto table = report::Table{{{"metric", report::Align::left}, {"value"}, {"95 % interval"}}};
    auto const drawn = resampled ? intervals.of(*resampled) : NamedIntervals{};
    for (auto i = std::size_t{0}; i < scores.values.size(); ++i) {
      auto const& [name, value] = scores.values[i];
      table.add({name, value, drawn.empty() ? "-" : report::bounds(drawn[i].second)});
    }
    table.add({"residues", scores.residues(), ""}).add({"proteins", scores.proteins, ""});
    std::cout << table.text();
    if (!drawn.empty()) {
      document["intervals"] = intervals.json(drawn, grouping.file.has_value());
      std::cout << intervals.sentence(drawn, grouping.name());
    }
    if (!out.empty()) write_json(out, document);
  }
};

}  // namespace

void add_evaluate(CLI::App& app) {
  auto* const command = app.add_subcommand("evaluate", "Metrics on labelled proteins.");
  auto const evaluate = std::make_shared<Evaluate>();
  add_required(*command, "--data", evaluate->data, "labelled proteins");
  add_name(*command, "--out", evaluate->out, "JSON file for the metrics");
  add_name(*command, "--groups", evaluate->groups,
           "groups.tsv, which says what proteins are relatives; by default the one beside the "
           "data");
  evaluate->intervals.add_to(*command);
  evaluate->adapter.add_to(*command);
  command->footer(
      "Example:\n  qlora evaluate --model facebook/esm2_t6_8M_UR50D --adapter adapter \\\n"
      "      --data test.txt --out metrics.json");
  command->callback([evaluate] { (*evaluate)(); });
}

}  // namespace qlora::cli
