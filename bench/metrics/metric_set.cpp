/// Metrics of a test set of a million residues, a twentieth of them sites: every metric of the
/// library, those of the model card, and an interval of a mean over groups of proteins.
#include <cstdint>
#include <vector>

#include <benchmark/benchmark.h>

#include <qlora/core/random.hpp>
#include <qlora/metrics/bootstrap.hpp>
#include <qlora/metrics/metric_set.hpp>

namespace bench {
namespace {
using namespace qlora;

constexpr auto residues = 1 << 20;
constexpr auto residues_of_protein = 512;

std::vector<metrics::Prediction> const& predictions() {
  static auto const drawn = [] {
    auto random = RandomSequence{{.seed = 1}};
    auto made = std::vector<metrics::Prediction>(residues);
    for (auto i = std::uint32_t{0}; i < made.size(); ++i) {
      auto const label = random.below(20) == 0 ? 1 : 0;
      made[i] = metrics::Prediction{.logit0 = random.uniform(),
                                    .logit1 = random.uniform() + .2f * static_cast<float>(label),
                                    .label = label,
                                    .protein = i / residues_of_protein};
    }
    return made;
  }();
  return drawn;
}

template <class Set>
void scores(benchmark::State& state) {
  for (auto _ : state) {
    auto set = Set{metrics::Options{}};
    for (auto const& one : predictions()) set.add(one);
    benchmark::DoNotOptimize(set.scores());
  }
  state.SetItemsProcessed(state.iterations() * residues);
}

/// Of a difference of two arms: 5 seeds, 44 groups, 2,000 resamples.
void interval(benchmark::State& state) {
  auto random = RandomSequence{{.seed = 2}};
  auto const draw = [&] {
    auto table = metrics::GroupTable<double>(5, std::vector<double>(44));
    for (auto& run : table) {
      for (auto& group : run) group = random.uniform();
    }
    return table;
  };
  auto const difference = metrics::Estimand<metrics::MeanOverGroups>{draw(), draw()};
  for (auto _ : state) {
    benchmark::DoNotOptimize(metrics::Bootstrap{difference, {.seed = 3}}.bca());
  }
}

BENCHMARK(interval)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_TEMPLATE(scores, CardMetrics)->Unit(benchmark::kMillisecond);
BENCHMARK_TEMPLATE(scores, metrics::Chosen)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bench
