/// Training, validation and test sets made of whole groups.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/random.hpp>

namespace qlora::inline v1 {

enum class Side : std::uint8_t { train, valid, test };

inline constexpr auto sides = std::array{Side::train, Side::valid, Side::test};

constexpr std::string_view side_name(Side side) {
  return std::array<std::string_view, 3>{"train", "valid", "test"}[static_cast<std::size_t>(side)];
}

/// Parts of the proteins; the rest trains.
struct SplitOptions {
  double valid_fraction = .1;
  double test_fraction = .2;
  std::uint64_t seed = 1;
};

/// The side of each group, given how many proteins it has. Groups are shuffled; each goes to the
/// test set if that brings its size nearer to what was asked for, then likewise to the validation
/// set. The result depends on the sizes and the seed alone. Throws InputError for fractions that
/// are none or leave nothing, and when a side that was asked for would be empty.
inline std::vector<Side> split_groups(std::span<std::size_t const> sizes,
                                      SplitOptions const& options) {
  auto const is_fraction = [](double x) { return x >= 0. && x < 1.; };  // false for NaN
  if (!is_fraction(options.valid_fraction) || !is_fraction(options.test_fraction) ||
      options.valid_fraction + options.test_fraction >= 1.) {
    throw InputError{
        "split: expected fractions from 0 that leave some proteins for training, found " +
        std::to_string(options.valid_fraction) + " for validation and " +
        std::to_string(options.test_fraction) + " for the test"};
  }
  auto order = std::vector<std::size_t>(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  auto random = RandomSequence{
      {.seed = options.seed, .step = 0, .sample = 0, .site = random_site::splitting}};
  for (auto i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
  }

  auto const total =
      static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}));
  auto result = std::vector<Side>(sizes.size(), Side::train);
  auto const fill = [&](Side side, double fraction) {
    auto room = fraction * total;
    auto is_empty = true;
    for (auto const group : order) {
      auto const size = static_cast<double>(sizes[group]);
      if (result[group] != Side::train || size >= 2. * room) continue;
      result[group] = side;
      room -= size;
      is_empty = false;
    }
    if (is_empty && fraction > 0.) {
      throw InputError{"split: expected groups small enough for " + std::to_string(fraction) +
                       " of the proteins to be in " + std::string{side_name(side)} +
                       ", found none among " + std::to_string(sizes.size())};
    }
  };
  fill(Side::test, options.test_fraction);
  fill(Side::valid, options.valid_fraction);
  if (std::ranges::find(result, Side::train) == result.end()) {
    throw InputError{"split: expected groups that are left for training, found none among " +
                     std::to_string(sizes.size())};
  }
  return result;
}

}  // namespace qlora::inline v1
