/// Intervals of an evaluation's metrics, where they are asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <qlora/data/group_file.hpp>
#include <qlora/metrics/resampled.hpp>

#include "files.hpp"
#include "session.hpp"

namespace qlora::cli {

using ResampledMetrics = metrics::Resampled<metrics::Chosen>;
/// By metric.
using NamedIntervals = std::vector<std::pair<std::string_view, metrics::Interval>>;

struct IntervalOptions {
  std::string unit = "cluster";  ///< what is drawn anew: cluster, protein or none
  std::uint32_t resamples = 1000;

  void add_to(CLI::App& command);

  /// To collect these proteins' residues, by protein where there are no groups; nothing where
  /// nothing is drawn.
  std::optional<ResampledMetrics> collector(std::vector<Protein> const& proteins,
                                            ProteinGroups const* groups,
                                            ClassWeights const& class_weights) const;
  /// Throws what `before_tile` does, which is called now and then.
  NamedIntervals of(
      ResampledMetrics const& collected, std::function<void()> const& before_tile = [] {}) const;
  /// What the intervals are, in a line.
  std::string sentence(NamedIntervals const& intervals, std::string const& groups_file) const;
  /// Keys `ci`, `groups`, `resamples`, `confidence`, `doubt` if there is one, and `metrics`, {name:
  /// [low, high]}.
  OrderedJson json(NamedIntervals const& intervals, bool has_clusters) const;
};

}  // namespace qlora::cli
