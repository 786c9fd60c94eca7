/// Low-rank adapters (Hu et al., "LoRA", arXiv:2106.09685): options, and the parameters of a model
/// in one flat buffer, so that the optimizer sees a single vector.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/adapt/placement.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/option.hpp>
#include <qlora/core/random.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

/// Bounds of what an adapter file may say, and so of what is trained.
inline constexpr Index most_rank = 65'536;
inline constexpr double most_alpha = 1e9;

/// `rank_stabilised` divides by the root of the rank (Kalajdzievski, arXiv:2312.03732).
enum class LoraScaling { plain, rank_stabilised };

struct LoraOptions {
  Index rank = 2;
  float alpha = 1.f;
  float dropout = 0.f;
  LoraScaling scaling = LoraScaling::plain;
  std::uint64_t seed = 0;

  /// What B A is multiplied by.
  double scale() const {
    auto const r = static_cast<double>(rank);
    return alpha / (scaling == LoraScaling::plain ? r : std::sqrt(r));
  }
};

/// Throws InputError for numbers that make no adapter.
inline void check(LoraOptions const& options) {
  expect_option(options.rank >= 1 && options.rank <= most_rank, "rank", "1 to 65536", options.rank);
  expect_option(std::fabs(options.alpha) <= most_alpha, "alpha", "-1e9 to 1e9", options.alpha);
  expect_option(options.dropout >= 0.f && options.dropout < 1.f, "dropout",
                "at least 0 and less than 1", options.dropout);
}

namespace peft {

/// What PEFT puts before the path of a module in the base model.
inline constexpr std::string_view prefix = "base_model.model.";

}  // namespace peft

/// Adapters of neighbouring matrices that read the same input: A stacked, B stacked, so that one
/// skinny product serves all. Views into a `Parameters`.
template <class A, Space M>
struct LoraGroup {
  Index first_target = 0;  ///< position in the stack of frozen matrices
  Index targets = 0;       ///< how many of them are adapted here
  std::uint32_t first_site = 0;
  A scale = A{1};
  Matrix<A, M> a, da;  ///< (targets rank, in)
  Matrix<A, M> b, db;  ///< (targets out, rank)
};

/// The trained numbers of a model in one buffer, with gradients and the optimizer's moments beside
/// them. Tensors that weight decay spares lie behind the others. Add all tensors, then `allocate`.
template <class A, Space M = Space::host>
class Parameters {
 public:
  /// One named tensor, as a PEFT file holds it.
  struct Entry {
    std::string name;
    Index offset = 0;
    Index rows = 0;
    Index columns = 0;  ///< 0 for a vector of `rows`

    Index size() const { return rows * (columns == 0 ? 1 : columns); }
  };

  /// Appends a tensor and returns its offset. Throws Error after `allocate`.
  Index add(std::string name, Index rows, Index columns) {
    if (values_.size() != 0) throw Error{name + ": parameters are allocated already"};
    auto const offset = size_;
    entries_.push_back({std::move(name), offset, rows, columns});
    size_ += entries_.back().size();
    return offset;
  }
  /// Everything added from here on is spared by weight decay; nothing is unless this is called.
  void end_of_decayed() { decayed_ = size_; }
  void allocate() {
    for (auto* const buffer : {&values_, &gradients_, &first_, &second_}) {
      *buffer = VectorTensor<A, M>{{size_}};
    }
  }

  Index size() const { return size_; }
  Index decayed() const { return decayed_.value_or(size_); }
  std::vector<Entry> const& entries() const { return entries_; }

  Vector<A, M> values() const { return values_; }
  Vector<A, M> gradients() const { return gradients_; }
  Vector<A, M> first_moments() const { return first_; }
  Vector<A, M> second_moments() const { return second_; }

  Matrix<A, M> value(Index offset, Index rows, Index columns) const {
    return {values_.data() + offset, {rows, columns}};
  }
  Matrix<A, M> gradient(Index offset, Index rows, Index columns) const {
    return {gradients_.data() + offset, {rows, columns}};
  }
  /// Elements of an entry.
  Vector<A, M> value(Entry const& entry) const {
    return {values_.data() + entry.offset, {entry.size()}};
  }
  Vector<A, M> gradient(Entry const& entry) const {
    return {gradients_.data() + entry.offset, {entry.size()}};
  }

 private:
  std::vector<Entry> entries_;
  Index size_ = 0;
  std::optional<Index> decayed_;
  VectorTensor<A, M> values_, gradients_, first_, second_;
};

/// Fills (rows, in) with the initial values of a LoRA A, uniform in +-1 / sqrt(in): what PyTorch
/// calls Kaiming-uniform with a = sqrt(5).
template <class A>
void initialise_lora_a(Vector<A> values, Index in, std::uint64_t seed, std::uint32_t site) {
  auto random = RandomSequence{
      {.seed = seed, .step = 0, .sample = 0, .site = random_site::initialise + site}};
  auto const bound = 1.f / std::sqrt(static_cast<float>(in));
  for (auto& value : values) value = static_cast<A>(bound * (2.f * random.uniform() - 1.f));
}

}  // namespace qlora::inline v1
