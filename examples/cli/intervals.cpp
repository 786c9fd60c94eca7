#include "intervals.hpp"

#include "options.hpp"

namespace qlora::cli {
namespace {

constexpr auto confidence = .95;
constexpr auto few_groups = std::size_t{10};

}  // namespace

void IntervalOptions::add_to(CLI::App& command) {
  add_option(
      command, "--ci", unit,
      "95 % intervals of the metrics: what is drawn anew: cluster (the groups of groups.tsv, "
      "or proteins where there is none), protein or none")
      ->check(CLI::IsMember({"cluster", "protein", "none"}));
  add_option(command, "--resamples", resamples, "draws for --ci")->check(CLI::Range(1, 10'000'000));
}

std::optional<ResampledMetrics> IntervalOptions::collector(
    std::vector<Protein> const& proteins, ProteinGroups const* groups,
    ClassWeights const& class_weights) const {
  if (unit == "none") return std::nullopt;
  auto const drawn =
      unit == "protein" || groups == nullptr ? ProteinGroups::of_each(proteins) : *groups;
  return ResampledMetrics{drawn.of_protein, drawn.names.size(), {.class_weights = class_weights}};
}

NamedIntervals IntervalOptions::of(ResampledMetrics const& collected,
                                   std::function<void()> const& before_tile) const {
  return collected.intervals({.resamples = resamples, .confidence = confidence}, before_tile);
}

std::string IntervalOptions::sentence(NamedIntervals const& intervals,
                                      std::string const& groups_file) const {
  auto const drawn = std::to_string(intervals.front().second.groups);
  return "95 % intervals: " + std::to_string(resamples) + " times " + drawn + " drawn of " + drawn +
         (unit == "protein" || groups_file.empty() ? " proteins" : " groups of " + groups_file) +
         ", with replacement" +
         (intervals.front().second.groups < few_groups ? "; so few say little" : "") + ".\n";
}

OrderedJson IntervalOptions::json(NamedIntervals const& intervals, bool has_clusters) const {
  auto by_metric = OrderedJson::object();
  for (auto const& [name, interval] : intervals) {
    by_metric[std::string{name}] = {interval.low, interval.high};
  }
  auto document = OrderedJson::object();
  document["ci"] = has_clusters ? unit : "protein";
  document["groups"] = intervals.front().second.groups;
  document["resamples"] = resamples;
  document["confidence"] = confidence;
  if (intervals.front().second.groups < few_groups) document["doubt"] = "few groups";
  document["metrics"] = std::move(by_metric);
  return document;
}

}  // namespace qlora::cli
