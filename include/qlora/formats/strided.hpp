/// Tensors as torch sees them: any strides over a flat storage.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <qlora/core/stored_tensor.hpp>

namespace qlora::inline v1 {

/// Element (i, j, ...) of the tensor is element offset + i strides[0] + j strides[1] + ... of a
/// storage.
struct StridedView {
  std::int64_t offset = 0;
  Extents shape;
  Extents strides;

  /// Bytes of the dense tensor; nothing when sizes make no sense, or an element lies outside a
  /// storage of `count` elements.
  [[nodiscard]] std::optional<std::size_t> checked_bytes(Dtype dtype, std::int64_t count) const {
    auto const negative = [](std::int64_t value) { return value < 0; };
    if (shape.size() != strides.size() || negative(offset) || offset > count ||
        std::ranges::any_of(shape, negative) || std::ranges::any_of(strides, negative)) {
      return std::nullopt;
    }
    auto const bytes = tensor_bytes(dtype, shape);
    if (!bytes || *bytes == 0) return bytes;
    auto last = offset;
    for (auto i = std::size_t{0}; i < shape.size(); ++i) {
      auto reach = std::int64_t{0};
      if (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
          __builtin_add_overflow(last, reach, &last)) {
        return std::nullopt;
      }
    }
    return last < count ? bytes : std::nullopt;
  }

  /// Whether elements lie in row-major order without gaps.
  [[nodiscard]] bool is_dense() const {
    if (std::ranges::count(shape, 0) != 0) return true;
    auto expected = std::int64_t{1};
    for (auto i = shape.size(); i-- > 0;) {
      if (shape[i] != 1 && strides[i] != expected) return false;
      expected *= shape[i];
    }
    return true;
  }

  /// The bytes of a dense view.
  [[nodiscard]] std::span<std::byte const> dense_part(std::span<std::byte const> storage,
                                                      Dtype dtype, std::size_t bytes) const {
    return storage.subspan(static_cast<std::size_t>(offset) * element_bytes(dtype), bytes);
  }

  /// The elements in row-major order.
  [[nodiscard]] std::vector<std::byte> copy(std::span<std::byte const> storage, Dtype dtype,
                                            std::size_t bytes) const {
    auto const width = element_bytes(dtype);
    auto dense = std::vector<std::byte>(bytes);
    struct Dimension {
      std::int64_t size, stride, place;
    };
    auto dimensions = std::vector<Dimension>{};  // those of one element would only cost time
    for (auto i = std::size_t{0}; i < shape.size(); ++i) {
      if (shape[i] != 1) dimensions.push_back({shape[i], strides[i], 0});
    }
    auto element = offset;
    for (auto at = std::size_t{0}; at < bytes; at += width) {
      std::memcpy(dense.data() + at, storage.data() + static_cast<std::size_t>(element) * width,
                  width);
      for (auto i = dimensions.size(); i-- > 0;) {  // as an odometer counts
        auto& [size, stride, place] = dimensions[i];
        element += stride;
        if (++place < size) break;
        element -= place * stride;
        place = 0;
      }
    }
    return dense;
  }
};

}  // namespace qlora::inline v1
