/// From letters to tokens: packed batches of 4,096 tokens, in sequences of so many residues.
#include <string>

#include <benchmark/benchmark.h>

#include <qlora/core/random.hpp>
#include <qlora/data/batch.hpp>

namespace {
using namespace qlora;

constexpr auto tokens = Index{4096};

void pack(benchmark::State& state) {
  auto const residues = Index{state.range(0)};
  auto random = RandomSequence{{.seed = 1}};
  auto protein = Protein{};
  for (auto i = Index{0}; i < residues; ++i) {
    protein.sequence += "LAGVSERTIDPKQNFYMHWC"[random.below(20)];
    protein.labels.push_back(random.below(20) == 0 ? label_positive : label_negative);
  }
  auto batch = PackedBatch{};
  for (auto _ : state) {
    batch.clear();
    while (batch.tokens() + residues + 2 <= tokens) batch.add(protein, 0);
    benchmark::DoNotOptimize(batch.token_ids().data());
  }
  state.SetItemsProcessed(state.iterations() * batch.tokens());
}

BENCHMARK(pack)->Arg(62)->Arg(510)->Arg(4094);

}  // namespace
