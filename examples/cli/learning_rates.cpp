#include "learning_rates.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <qlora/core/error.hpp>
#include <qlora/metrics/group_scores.hpp>

#include "comma_list.hpp"
#include "numbers.hpp"
#include "team.hpp"

namespace qlora::cli {
namespace {

Arm at_rate(Arm arm, std::string const& rate) {
  arm.name += (arm.changes.empty() ? ":lr=" : ",lr=") + rate;
  arm.changes.emplace_back("lr", rate);
  return arm;
}

double validation_precision(std::optional<RunResult> const& run) {
  if (!run) return std::numeric_limits<double>::quiet_NaN();
  return run->find_groups("valid")->mean_average_precision();
}

}  // namespace

std::vector<std::string> parse_rates(std::string_view list) {
  auto rates = parse_comma_list(list);
  auto values = std::vector<double>{};
  for (auto const& text : rates) {
    auto const value = parse_number<double>(text);
    if (!value || !(*value > 0) || std::ranges::find(values, *value) != values.end()) {
      throw InputError{"--choose-lr: expected different numbers above 0, found " + text};
    }
    values.push_back(*value);
  }
  return rates;
}

std::vector<PlannedRun> runs_at_rates(Arm const& arm, std::vector<std::string> const& rates,
                                      std::uint64_t seed) {
  auto runs = std::vector<PlannedRun>{};
  for (auto const& rate : rates) runs.push_back({at_rate(arm, rate), seed});
  return runs;
}

Arm choose_rate(Arm const& arm, std::vector<std::string> const& rates, std::uint64_t seed,
                ArmRuns const& runs, std::vector<RateTrial>& trials) {
  auto best = std::size_t{trials.size()};
  auto const first = best;
  for (auto const& run : runs_at_rates(arm, rates, seed)) {
    trials.push_back({.arm = arm.name,
                      .rate = *parse_number<double>(rates[trials.size() - first]),
                      // The first decides, whatever another sees of its files.
                      .value = Team::gather(validation_precision(runs.result(run))).front(),
                      .chosen = false});
    if (std::isnan(trials[best].value) || trials.back().value > trials[best].value) {
      best = trials.size() - 1;
    }
  }
  if (std::isnan(trials[best].value)) {
    throw DivergedError{arm.name +
                        ": expected a learning rate of --choose-lr that does not diverge, "
                        "found none"};
  }
  trials[best].chosen = true;
  return at_rate(arm, rates[best - first]);
}

std::optional<std::string> note_of_edge(std::vector<RateTrial> const& trials) {
  auto const& arm = trials.back().arm;
  auto smaller = 0, larger = 0;
  auto const& chosen = *std::find_if(trials.rbegin(), trials.rend(),
                                     [&](RateTrial const& trial) { return trial.chosen; });
  for (auto const& trial : trials) {
    if (trial.arm != arm) continue;
    smaller += trial.rate < chosen.rate ? 1 : 0;
    larger += trial.rate > chosen.rate ? 1 : 0;
  }
  if ((smaller == 0) == (larger == 0)) return std::nullopt;
  return "--choose-lr: " + arm + " took " + exact(chosen.rate) + ", the " +
         (smaller == 0 ? "smallest" : "largest") + " of them: a wider choice may be better";
}

}  // namespace qlora::cli
