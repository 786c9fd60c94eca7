/// Passes over batches of a shape that comes again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <qlora/backend/cuda/recording.cuh>
#include <qlora/core/packing.hpp>

namespace qlora::inline v1::cuda {

/// Recordings of the latest few shapes. A shape is recorded when it comes for the second time: the
/// first one takes memory and makes plans, and most shapes of packed batches come once.
class Repeats {
 public:
  static constexpr std::size_t limit = 16;

  /// Calls `first()` where the shape is new, else `again(recording)`, a recording that may be empty
  /// as yet.
  template <class First, class Again>
  void find(BatchShape const& shape, First&& first, Again&& again) {
    auto const found =
        std::ranges::find_if(seen_, [&](Seen const& seen) { return seen.shape == shape; });
    if (found != seen_.end()) return again(found->recording);
    if (seen_.size() < limit) {
      seen_.push_back({shape, {}});
    } else {
      seen_[oldest_] = {shape, {}};
      oldest_ = (oldest_ + 1) % limit;
    }
    first();
  }

 private:
  struct Seen {
    BatchShape shape;
    Recording recording;
  };

  std::vector<Seen> seen_;
  std::size_t oldest_ = 0;
};

}  // namespace qlora::inline v1::cuda
