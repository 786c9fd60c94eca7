/// Packed batches: proteins one after the other as tokens, without pads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include <qlora/core/packing.hpp>
#include <qlora/data/alphabet.hpp>
#include <qlora/data/protein.hpp>

namespace qlora::inline v1 {

/// `<cls>` residues `<eos>` of several proteins, and what the model needs to know of each token.
class PackedBatch {
 public:
  /// Label of special tokens and of residues of which nothing is known.
  static constexpr auto ignored = ignored_label;

  /// Appends a protein; `sample` is its number in the data set, which keys its random numbers.
  void add(Protein const& protein, std::uint32_t sample) {
    auto const residues = protein.sequence.size();
    auto const start = tokens_.size();
    tokens_.resize(start + residues + 2);
    tokens_[start] = alphabet::cls;
    std::ranges::transform(protein.sequence, tokens_.begin() + offset(start + 1),
                           alphabet::token_of);
    tokens_.back() = alphabet::eos;
    positions_.resize(tokens_.size());
    std::iota(positions_.begin() + offset(start), positions_.end(), 0);
    samples_.resize(tokens_.size(), sample);
    labels_.resize(tokens_.size(), ignored);
    std::ranges::transform(protein.labels, labels_.begin() + offset(start + 1), [](auto label) {
      return is_known(label) ? std::int32_t{label} : ignored;
    });
    auto const length = static_cast<std::int32_t>(residues + 2);
    offsets_.push_back(offsets_.back() + length);
    longest_ = std::max(longest_, Index{length});
  }

  /// Empties the batch and keeps its memory.
  void clear() {
    tokens_.clear();
    positions_.clear();
    samples_.clear();
    labels_.clear();
    offsets_.resize(1);
    longest_ = 0;
  }

  /// Memory for so many tokens of so many proteins.
  void reserve(std::size_t tokens, std::size_t sequences) {
    tokens_.reserve(tokens);
    positions_.reserve(tokens);
    samples_.reserve(tokens);
    labels_.reserve(tokens);
    offsets_.reserve(sequences + 1);
  }

  Index tokens() const { return static_cast<Index>(tokens_.size()); }
  Index sequences() const { return static_cast<Index>(offsets_.size()) - 1; }
  Index longest() const { return longest_; }

  Vector<std::int32_t const> token_ids() const { return view(tokens_); }  // (tokens)
  Vector<std::int32_t const> labels() const { return view(labels_); }     // (tokens): 1, 0, ignored
  Packing<Space::host> packing() const {
    return {view(offsets_), view(positions_), view(samples_), longest_};
  }
  TokenBatch<Space::host> view() const { return {token_ids(), labels(), packing()}; }

 private:
  template <class T>
  static Vector<T const> view(std::vector<T> const& values) {
    return {values.data(), {static_cast<Index>(values.size())}};
  }
  static std::ptrdiff_t offset(std::size_t index) { return static_cast<std::ptrdiff_t>(index); }

  std::vector<std::int32_t> tokens_, positions_, labels_;
  std::vector<std::uint32_t> samples_;
  std::vector<std::int32_t> offsets_ = {0};
  Index longest_ = 0;
};

}  // namespace qlora::inline v1
