/// Reading data on one core: from the bytes of a file (in the page cache) to proteins, and on to
/// packed batches; bytes of the file a second. `peak_kB` is the memory that reading a million
/// proteins adds.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <qlora/core/peak_memory.hpp>
#include <qlora/core/random.hpp>
#include <qlora/data/batch.hpp>
#include <qlora/data/read.hpp>

namespace {
using namespace qlora;

constexpr auto residues = 350;
constexpr auto batch_tokens = 8192;

/// A file of random proteins that vanishes with the object.
class Proteins {
 public:
  Proteins(DataFormat format, int count)
      : path_{std::filesystem::temp_directory_path() /
              ("qlora-bench-" + std::to_string(::getpid()))} {
    auto random = RandomSequence{{.seed = 1}};
    auto file = std::ofstream{path_};
    auto sequence = std::string(residues, 'A');
    for (auto i = 0; i < count; ++i) {
      for (auto& one : sequence) one = "LAGVSERTIDPKQNFYMHWC"[random.below(20)];
      if (format == DataFormat::uniprot_tsv) {
        if (i == 0) file << "Entry\tProtein families\tSequence\tBinding site\n";
        file << "P" << i << "\tA family\t" << sequence
             << "\tBINDING 57..59; /ligand=\"ATP\"; /ligand_id=\"ChEBI:CHEBI:30616\"; BINDING 70; "
                "/ligand=\"Mg(2+)\"; /ligand_id=\"ChEBI:CHEBI:18420\"\n";
        continue;
      }
      file << ">sp|P" << i << "\n";
      if (format == DataFormat::three_line) {
        file << sequence << "\n" << std::string(residues - 10, '0') << "1111111111\n";
        continue;
      }
      for (auto at = std::size_t{0}; at < sequence.size(); at += 60) {
        file << sequence.substr(at, 60) << "\n";
      }
    }
  }
  Proteins(Proteins const&) = delete;
  Proteins& operator=(Proteins const&) = delete;
  ~Proteins() { std::filesystem::remove(path_); }

  std::filesystem::path const& path() const { return path_; }
  std::int64_t bytes() const {
    return static_cast<std::int64_t>(std::filesystem::file_size(path_));
  }

 private:
  std::filesystem::path path_;
};

constexpr auto some = 100'000;

void to_proteins(benchmark::State& state, DataFormat format) {
  auto const file = Proteins{format, some};
  for (auto _ : state) {
    for_each_protein(file.path(), [](Protein&& one) { benchmark::DoNotOptimize(one.labels); });
  }
  state.SetBytesProcessed(state.iterations() * file.bytes());
}

void to_batches(benchmark::State& state, DataFormat format) {
  auto const file = Proteins{format, some};
  auto batch = PackedBatch{};
  for (auto _ : state) {
    auto sample = std::uint32_t{0};
    for_each_protein(file.path(), [&](Protein&& one) {
      if (batch.tokens() + static_cast<Index>(one.sequence.size()) + 2 > batch_tokens) {
        benchmark::DoNotOptimize(batch.token_ids().data());
        batch.clear();
      }
      batch.add(one, sample++);
    });
  }
  state.SetBytesProcessed(state.iterations() * file.bytes());
}

void a_million(benchmark::State& state) {
  auto const file = Proteins{DataFormat::fasta, 1'000'000};
  reset_peak_memory();
  auto const before = peak_memory_bytes();
  for (auto _ : state) {
    for_each_protein(file.path(), [](Protein&& one) { benchmark::DoNotOptimize(one.sequence); });
  }
  state.SetBytesProcessed(state.iterations() * file.bytes());
  state.counters["peak_kB"] = static_cast<double>(peak_memory_bytes() - before) / 1024;
}

BENCHMARK(a_million)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(to_proteins, fasta, DataFormat::fasta)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(to_proteins, three_line, DataFormat::three_line)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(to_proteins, uniprot_tsv, DataFormat::uniprot_tsv)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(to_batches, fasta, DataFormat::fasta)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(to_batches, three_line, DataFormat::three_line)->Unit(benchmark::kMillisecond);

}  // namespace
