/// Which records make up each step of training.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <qlora/core/memory.hpp>
#include <qlora/core/option.hpp>
#include <qlora/core/random.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// Tokens of a record with its `<cls>` and `<eos>`.
inline Index token_count(Protein const& protein) {
  return static_cast<Index>(protein.sequence.size()) + 2;
}

/// Cuts consecutive records into batches of at most `tokens` each; a longer record is a batch of
/// its own. Returns where each batch starts, and the number of records at the end.
inline std::vector<std::size_t> pack_by_tokens(std::span<Protein const> proteins,
                                               std::span<std::uint32_t const> order, Index tokens) {
  auto starts = std::vector<std::size_t>{0};
  auto used = Index{0};
  for (auto i = std::size_t{0}; i < order.size(); ++i) {
    auto const size = token_count(proteins[order[i]]);
    if (used > 0 && used + size > tokens) {
      starts.push_back(i);
      used = 0;
    }
    used += size;
  }
  starts.push_back(order.size());
  return starts;
}

/// How records become steps: `sequences` records each, or as many as fit `tokens`.
struct BatchOptions {
  Index tokens = 4096;  ///< ignored when `sequences` is positive
  Index sequences = 0;
};

/// Throws InputError for sizes that are none.
inline void check(BatchOptions const& options) {
  expect_option(options.sequences >= 0, "batch.sequences", "at least 0", options.sequences);
  expect_option(options.sequences > 0 || options.tokens >= 1, "batch.tokens", "at least 1",
                options.tokens);
}

enum class Order { shuffled, as_given };

/// The order of one epoch, cut into steps. The same for the same seed and epoch.
class EpochPlan {
 public:
  EpochPlan(std::span<Protein const> proteins, BatchOptions const& batch, Order order,
            std::uint64_t seed, std::uint32_t epoch)
      : order_(proteins.size()) {
    std::iota(order_.begin(), order_.end(), 0u);
    if (order == Order::shuffled) {
      auto random =
          RandomSequence{{.seed = seed, .step = epoch, .sample = 0, .site = random_site::shuffle}};
      for (auto i = order_.size(); i > 1; --i) {
        std::swap(order_[i - 1], order_[random.below(static_cast<std::uint32_t>(i))]);
      }
    }
    if (batch.sequences > 0) {
      auto const stride = static_cast<std::size_t>(batch.sequences);
      for (auto i = std::size_t{0}; i < order_.size(); i += stride) starts_.push_back(i);
      starts_.push_back(order_.size());
    } else {
      starts_ = pack_by_tokens(proteins, order_, batch.tokens);
    }
  }

  std::size_t steps() const { return starts_.size() - 1; }
  /// Numbers of the records of a step.
  std::span<std::uint32_t const> step(std::size_t i) const {
    return std::span{order_}.subspan(starts_[i], starts_[i + 1] - starts_[i]);
  }

 private:
  std::vector<std::uint32_t> order_;
  std::vector<std::size_t> starts_;
};

/// Calls `body(records)` for each of the passes that share a step's records: as many as asked for,
/// or one a record.
template <class Body>
void for_each_pass(std::span<std::uint32_t const> records, Index passes, Body&& body) {
  auto const count = std::min(static_cast<std::size_t>(passes), records.size());
  for (auto pass = std::size_t{0}; pass < count; ++pass) {
    auto const first = records.size() * pass / count;
    auto const last = records.size() * (pass + 1) / count;
    body(records.subspan(first, last - first));
  }
}

inline Index token_count(std::span<Protein const> proteins,
                         std::span<std::uint32_t const> records) {
  auto sum = Index{0};
  for (auto const record : records) sum += token_count(proteins[record]);
  return sum;
}

}  // namespace qlora::inline v1
