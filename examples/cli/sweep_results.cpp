#include "sweep_results.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>

#include "numbers.hpp"
#include "run_record.hpp"
#include "sweep_effects.hpp"

namespace qlora::cli {
namespace {

constexpr auto shown_trials = std::size_t{20};

/// A number where it is one.
OrderedJson json_value(std::string const& text) {
  if (auto const whole = parse_number<std::int64_t>(text)) return *whole;
  if (auto const real = parse_number<double>(text)) return *real;
  return text;
}

OrderedJson json_factor(Factor const& factor) {
  auto json = OrderedJson{{"name", factor.name}};
  if (factor.range) {
    auto const& [low, high, scale] = *factor.range;
    json["low"] = low;
    json["high"] = high;
    json["scale"] = scale == Factor::Scale::log ? "log" : "linear";
    return json;
  }
  json["values"] = OrderedJson::array();
  for (auto const& value : factor.values) json["values"].push_back(json_value(value));
  return json;
}

OrderedJson json_settings(Settings const& settings, Space const& space) {
  auto values = OrderedJson::object();
  for (auto i = std::size_t{0}; i < settings.size(); ++i) {
    values[space.factors[i].name] = json_value(settings[i]);
  }
  return values;
}

OrderedJson json_trial(SweepTrial const& trial, Space const& space) {
  auto runs = OrderedJson::array();
  for (auto const& run : trial.runs) {
    runs.push_back({{"seed", run.seed},
                    {"folder", run.folder},
                    {"status", std::isnan(run.value) ? "diverged" : "done"},
                    {"value", run.value},
                    {"seconds", run.seconds}});
  }
  auto const [mean, deviation] = trial.metric();
  return {{"settings", json_settings(trial.settings, space)},
          {"status", trial.diverged() ? "diverged" : "done"},
          {"mean", mean},
          {"deviation", deviation},
          {"seconds", trial.seconds()},
          {"runs", std::move(runs)}};
}

}  // namespace

std::size_t SweepResults::expect_begun(std::filesystem::path const& path,
                                       std::vector<Settings> const& wanted) const {
  auto const file = path.string();
  auto const text = read_text(path, std::size_t{64} << 20);
  auto const recorded = json::parse(text, file, text.size());
  auto const fail = [&](std::string const& what) { throw InputError{at(file, what)}; };
  if (!recorded.is_object() || !recorded.contains("study") || !recorded.contains("trials") ||
      !recorded["trials"].is_array()) {
    fail("expected the trials of a sweep, found none");
  }
  check_identity(recorded["study"], study, file);
  auto const& list = recorded["trials"];
  for (auto i = std::size_t{0}; i < list.size(); ++i) {
    auto const same = i < wanted.size() && list[i].is_object() && list[i].contains("settings") &&
                      list[i]["settings"] == Json(json_settings(wanted[i], space));
    if (!same) fail("expected its trial " + std::to_string(i + 1) + " among those of the space");
  }
  return list.size();
}

bool SweepTrial::diverged() const {
  return std::ranges::any_of(runs, [](auto const& run) { return std::isnan(run.value); });
}

Spread SweepTrial::metric() const {
  auto values = std::vector<double>{};
  for (auto const& run : runs) values.push_back(run.value);
  return spread(values);
}

double SweepTrial::seconds() const {
  return std::accumulate(runs.begin(), runs.end(), 0.,
                         [](double sum, auto const& run) { return sum + run.seconds; });
}

std::vector<std::size_t> SweepResults::ranking() const {
  auto order = std::vector<std::size_t>(trials.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  auto const cost = [&](std::size_t place) {
    if (trials[place].diverged()) return std::numeric_limits<double>::infinity();
    auto const mean = trials[place].metric().mean;
    return space.lower_is_better() ? mean : -mean;
  };
  std::ranges::sort(order, {}, [&](std::size_t place) { return std::pair{cost(place), place}; });
  return order;
}

report::Table SweepResults::table(std::vector<std::size_t> const& order) const {
  auto columns = std::vector<report::Column>{{"trial"}};
  for (auto const& factor : space.factors) {
    columns.push_back({factor.name, report::Align::left});
  }
  columns.push_back({space.metric});
  columns.push_back({"sd over seeds"});
  columns.push_back({.header = "seconds", .precision = 1});
  auto table = report::Table{columns};
  for (auto const place : order) {
    auto const& trial = trials[place];
    auto const [mean, deviation] = trial.metric();
    auto row = std::vector<report::Cell>{place + 1};
    for (auto const& value : trial.settings) row.emplace_back(value);
    row.push_back(trial.diverged() ? report::Cell{"diverged"} : report::Cell{mean});
    row.push_back(std::isnan(deviation) ? report::Cell{"-"} : report::Cell{deviation});
    row.emplace_back(trial.seconds());
    table.add(std::move(row));
  }
  return table;
}

std::string SweepResults::text(report::Terminal const& terminal) const {
  auto order = ranking();
  order.resize(std::min(order.size(), shown_trials));
  auto text = table(order).text(terminal);
  if (order.size() < trials.size()) {
    text += "The best " + std::to_string(order.size()) + " of " + std::to_string(trials.size()) +
            " trials; sweep.csv has all.\n";
  }
  auto const effects = SweepEffects::of(*this);
  text += "\n";
  if (effects.trials > 1) text += effects.table().text(terminal);
  return text + effects.sentence() + "\n";
}

OrderedJson SweepResults::json() const {
  auto factors = OrderedJson::array();
  for (auto const& factor : space.factors) factors.push_back(json_factor(factor));
  auto list = OrderedJson::array();
  for (auto const& trial : trials) list.push_back(json_trial(trial, space));
  auto const order = ranking();
  auto const has_best = !order.empty() && !trials[order.front()].diverged();
  return {{"search", space.search == Space::Search::grid ? "grid" : "random"},
          {"split", "valid"},
          {"metric", space.metric},
          {"lower_is_better", space.lower_is_better()},
          {"study", study},
          {"factors", std::move(factors)},
          {"trials", std::move(list)},
          {"best", has_best ? OrderedJson(order.front() + 1) : OrderedJson{}},
          {"effects", SweepEffects::of(*this).json()}};
}

std::string SweepResults::csv() const {
  auto columns = std::vector<report::Column>{{"trial"}};
  for (auto const& factor : space.factors) columns.push_back({factor.name});
  for (auto const* const name : {"status", "mean", "deviation", "seconds"}) {
    columns.push_back({name});
  }
  for (auto const& run : trials.front().runs)
    columns.push_back({"seed_" + std::to_string(run.seed)});
  auto table = report::Table{columns};
  for (auto i = std::size_t{0}; i < trials.size(); ++i) {
    auto const& trial = trials[i];
    auto row = std::vector<report::Cell>{i + 1};
    for (auto const& value : trial.settings) row.emplace_back(value);
    row.emplace_back(trial.diverged() ? "diverged" : "done");
    row.emplace_back(trial.metric().mean);
    row.emplace_back(trial.metric().deviation);
    row.emplace_back(trial.seconds());
    for (auto const& run : trial.runs) row.emplace_back(run.value);
    table.add(std::move(row));
  }
  return table.csv();
}

}  // namespace qlora::cli
