/// Good files, changed at random many times over: parsers must accept or refuse, and never crash.
/// 2,000 times each, or for QLORA_MUTATION_SECONDS all together.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "fuzz/program_files.hpp"
#include "fuzz/targets.hpp"

namespace qlora {
namespace {

class Mutator {
 public:
  explicit Mutator(fuzz::Target const& target) : target_{target} {}

  std::string next() {
    auto text = target_.seeds[below(target_.seeds.size())];
    for (auto changes = 1 + below(3); changes > 0 && !text.empty(); --changes) change(text);
    return text;
  }

 private:
  std::size_t below(std::size_t limit) { return random_() % limit; }

  std::string_view word() {
    static constexpr auto numbers = std::array<std::string_view, 8>{
        "0", "-1", "1.5", "18446744073709551615", "9007199254740993", "NaN", "\xff", "\n"};
    auto const& own = target_.dictionary;
    auto const i = below(numbers.size() + own.size());
    return i < numbers.size() ? numbers[i] : own[i - numbers.size()];
  }

  void change(std::string& text) {
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
        text.replace(at, below(length + 1), word());
        break;
      default:
        text.resize(at);
    }
  }

  fuzz::Target const& target_;
  std::mt19937_64 random_{17};
};

/// How often `accepts` is asked: a share of the time that the environment gives, or 2,000 times.
class Budget {
 public:
  bool go_on() { return share_ > seconds{0} ? clock::now() - begin_ < share_ : count_ < least; }
  void spend() { ++count_; }
  std::int64_t count() const { return count_; }

 private:
  using clock = std::chrono::steady_clock;
  using seconds = std::chrono::duration<double>;
  static constexpr auto least = std::int64_t{2'000};

  static seconds share() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets any
    auto const* const all = std::getenv("QLORA_MUTATION_SECONDS");
    auto const seconds_of_all = all == nullptr ? 0. : std::strtod(all, nullptr);
    return seconds{seconds_of_all / static_cast<double>(fuzz::targets().size())};
  }

  seconds share_ = share();
  clock::time_point begin_ = clock::now();
  std::int64_t count_ = 0;
};

class Mutations : public ::testing::TestWithParam<fuzz::Target> {};

TEST_P(Mutations, AreAcceptedOrRefused) {
  auto const& target = GetParam();
  for (auto const& seed : target.seeds) {
    ASSERT_TRUE(target.accepts(seed)) << target.name << ": " << seed.substr(0, 80);
  }
  auto mutator = Mutator{target};
  auto refused = std::int64_t{0};
  auto budget = Budget{};
  for (; budget.go_on(); budget.spend()) refused += target.accepts(mutator.next()) ? 0 : 1;
  EXPECT_GT(refused, budget.count() / 20);
  RecordProperty("executions", std::to_string(budget.count()));
}

std::string name_of(::testing::TestParamInfo<fuzz::Target> const& info) {
  return std::string{info.param.name};
}
INSTANTIATE_TEST_SUITE_P(Of, Mutations, ::testing::ValuesIn(fuzz::targets()), name_of);

TEST(Checkpoint, EveryFlippedBitIsNoticed) {
  auto const& all = fuzz::targets();
  auto const& target = *std::ranges::find(all, std::string_view{"checkpoint"}, &fuzz::Target::name);
  auto bytes = target.seeds.front();
  ASSERT_GT(bytes.size(), 500u);
  for (auto& byte : bytes) {
    for (auto bit = 0; bit < 8; ++bit) {
      byte = static_cast<char>(byte ^ (1 << bit));
      auto const memory = fuzz::MemoryFile{bytes};
      EXPECT_FALSE(fuzz::accepts([&] { cli::read_checkpoint(memory.path()); }))
          << "byte " << &byte - bytes.data() << ", bit " << bit;
      byte = static_cast<char>(byte ^ (1 << bit));
    }
  }
}

}  // namespace
}  // namespace qlora
