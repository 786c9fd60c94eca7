/// Batches on their way to the device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/packing.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::cuda {

/// Copies batches through memory that the device reads by itself, so that the next batch can be
/// made while work on this one goes on. Two of them may be on their way.
class Staging {
 public:
  /// The batch on the device, in the order of `stream`, until the next upload.
  TokenBatch<Space::device> upload(TokenBatch<Space::host> const& batch, Stream const& stream) {
    auto const& packing = batch.packing;
    auto const bytes = aligned(batch.ids) + aligned(batch.labels) + aligned(packing.offsets) +
                       aligned(packing.positions) + aligned(packing.samples);
    auto& slot = slots_[next_];
    next_ = 1 - next_;
    if (slot.used) slot.copied.synchronize();
    slot.used = true;
    if (slot.memory.bytes() < bytes) slot.memory = PinnedBuffer{bytes};
    if (device_.bytes() < bytes) device_ = Buffer<Space::device>{bytes};

    auto offset = std::size_t{0};
    auto const put = [&]<class T>(Vector<T const> values) {
      auto const size = static_cast<std::size_t>(values.size()) * sizeof(T);
      if (size > 0) std::memcpy(slot.memory.data() + offset, values.data(), size);
      auto const* const there = reinterpret_cast<T const*>(device_.data() + offset);
      offset += aligned(values);
      return Vector<T const, Space::device>{there, {values.size()}};
    };
    auto const staged = TokenBatch<Space::device>{
        put(batch.ids),
        put(batch.labels),
        {put(packing.offsets), put(packing.positions), put(packing.samples), packing.longest}};
    check(cudaMemcpyAsync(device_.data(), slot.memory.data(), bytes, cudaMemcpyDefault, stream),
          "copy of a batch");
    slot.copied.record(stream);
    return staged;
  }

 private:
  struct Slot {
    PinnedBuffer memory;
    Event copied;
    bool used = false;
  };

  /// Bytes of an array, and what is left out after it.
  template <class T>
  static std::size_t aligned(Vector<T const> values) {
    constexpr auto alignment = std::size_t{256};
    auto const bytes = static_cast<std::size_t>(values.size()) * sizeof(T);
    return round_up(bytes, alignment);
  }

  std::array<Slot, 2> slots_;
  std::size_t next_ = 0;
  Buffer<Space::device> device_;
};

}  // namespace qlora::inline v1::cuda
