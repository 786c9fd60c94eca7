/// Good files, changed at random many times over: parsers must accept or refuse, and never crash.

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "fuzz/data_files.hpp"
#include "fuzz/model_files.hpp"
#include "fuzz/pickles.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

class Mutator {
 public:
  explicit Mutator(std::string_view seed) : seed_{seed} {}

  std::string next() {
    auto text = seed_;
    for (auto changes = 1 + below(3); changes > 0 && !text.empty(); --changes) change(text);
    return text;
  }

 private:
  std::size_t below(std::size_t limit) { return random_() % limit; }

  void change(std::string& text) {
    static constexpr auto tokens = std::array<std::string_view, 16>{"0",
                                                                    "-1",
                                                                    "1.5",
                                                                    "18446744073709551615",
                                                                    "9007199254740993",
                                                                    "null",
                                                                    "true",
                                                                    "\"",
                                                                    "{",
                                                                    "}",
                                                                    "[",
                                                                    "]",
                                                                    ",",
                                                                    "NaN",
                                                                    "\\u0000",
                                                                    "\xff"};
    auto const at = below(text.size());
    auto const length = std::min(text.size() - at, 1 + below(16));
    switch (below(6)) {
      case 0:
        text[at] = static_cast<char>(random_());
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(below(text.size()), std::string{text, at, length});
        break;
      case 4:
        text.replace(at, below(length + 1), tokens[below(tokens.size())]);
        break;
      default:
        text.resize(at);
    }
  }

  std::string seed_;
  std::mt19937_64 random_{17};
};

void mutate(std::string_view seed, int times,
            std::function<bool(std::string_view)> const& accepts) {
  ASSERT_TRUE(accepts(seed));
  auto mutator = Mutator{seed};
  auto refused = 0;
  for (auto i = 0; i < times; ++i) refused += accepts(mutator.next()) ? 0 : 1;
  EXPECT_GT(refused, times / 10);
}

auto const goldens = std::filesystem::path{QLORA_TEST_DATA};

TEST(Mutations, OfSafetensors) {
  auto const header = std::string_view{
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}  )"};
  mutate(testing::safetensors_bytes(header, std::string(22, '\x3c')), 4'000, fuzz::safetensors);
}

TEST(Mutations, OfAShardIndex) {
  mutate(testing::read_file(goldens / "models" / "odd_sharded" / "model.safetensors.index.json"),
         500, fuzz::shard_index);
}

TEST(Mutations, OfAConfig) {
  mutate(testing::read_file(goldens / "models" / "tiny_nf4" / "config.json"), 1'000, fuzz::config);
}

TEST(Mutations, OfAnAdapterConfig) {
  mutate(testing::read_file(goldens / "lora" / "all" / "adapter_config.json"), 1'000,
         fuzz::adapter_config);
  mutate(
      R"({"peft_type": "LORA", "r": 2, "lora_alpha": 1, "target_modules": ".*\\.(query|[^k]ey)+"})",
      4'000, fuzz::adapter_config);
}

TEST(Mutations, OfPickledData) {
  using namespace std::string_view_literals;
  mutate("\x80\2]q\0]q\1(K\0K\1ea."sv, 4'000, fuzz::pickled_data);
  mutate("](X\2\0\0\0MKq\1e."sv, 4'000, fuzz::pickled_data);
}

TEST(Mutations, OfATorchFile) {
  for (auto const* const name : {"adapter/adapter_model.bin", "legacy/pytorch_model.bin"}) {
    mutate(testing::read_file(goldens / "pickled" / name), 4'000, fuzz::torch_file);
  }
}

TEST(Mutations, OfDataFiles) {
  auto const table = std::string_view{
      "Entry\tProtein families\tSequence\tBinding site\tActive site\n"
      "P1\tA superfamily, B family\tMKVLAMKVLA\tBINDING 3..5; /ligand=\"ATP\"; "
      "/ligand_id=\"ChEBI:CHEBI:30616\"; /evidence=\"ECO:0000269|PubMed:1\"; BINDING <7\t"
      "\"ACT_SITE 9; /note=\"\"x\"\"\"\n"
      "P2\t\tMKVLA\tBINDING 1 2 ATP; by water. {ECO:0000250}.; METAL 5 5 Zinc 1.\t\n"};
  auto const text = std::string_view{
      "ID   A_B   Reviewed; 12 AA.\nAC   P1; P2;\n"
      "CC   -!- SIMILARITY: Belongs to the A superfamily. B\nCC       family.\n"
      "FT   BINDING         3..4\nFT                   /ligand=\"A-\nFT                   B\"\n"
      "FT   HELIX           4..5\nFT   ACT_SITE     12     12       Base.\n"
      "SQ   SEQUENCE   12 AA;\n     MKVLAMKVLA MK\n//\n"};
  auto const chains = std::string_view{
      "pdb_id;chain_id;binding_residues;sequence\n1abc;A;K2 L4;MKVLA\n1abc;B;;MKV\n"};
  mutate(table, 4'000, fuzz::any_data_file);
  mutate(text, 4'000, fuzz::any_data_file);
  mutate(chains, 2'000, fuzz::any_data_file);
  mutate(">a\nMKV\n01-\n>b\nMK\n10\n", 2'000, fuzz::any_data_file);
  mutate("a\ta\na\tb\nc\tc\n", 500, fuzz::clusters);
}

}  // namespace
}  // namespace qlora
