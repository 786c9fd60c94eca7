/// What kernels on the CPU are timed on.
#pragma once

#include <cstdint>
#include <vector>

#include <qlora/core/packing.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace bench {

using qlora::Index;

/// Numbers between -.5 and .5, a hundred and one in turn, which is no multiple of a vector.
template <class T>
qlora::MatrixTensor<T> filled(Index rows, Index columns) {
  auto result = qlora::MatrixTensor<T>{{rows, columns}};
  for (auto i = Index{0}; i < result.size(); ++i) {
    result.data()[i] = qlora::convert<T>(static_cast<float>(i * 37 % 101 - 50) * .01f);
  }
  return result;
}

/// Sequences of one length, one after the other.
class EqualSequences {
 public:
  EqualSequences(Index tokens, Index length) : length_{length} {
    for (auto i = Index{0}; i <= tokens; i += length) {
      offsets_.push_back(static_cast<std::int32_t>(i));
    }
    for (auto i = Index{0}; i < tokens; ++i) {
      positions_.push_back(static_cast<std::int32_t>(i % length));
      samples_.push_back(static_cast<std::uint32_t>(i / length));
    }
  }

  qlora::Packing<qlora::Space::host> packing() const {
    return {.offsets = {offsets_.data(), {static_cast<Index>(offsets_.size())}},
            .positions = {positions_.data(), {static_cast<Index>(positions_.size())}},
            .samples = {samples_.data(), {static_cast<Index>(samples_.size())}},
            .longest = length_};
  }

 private:
  Index length_;
  std::vector<std::int32_t> offsets_, positions_;
  std::vector<std::uint32_t> samples_;
};

}  // namespace bench
