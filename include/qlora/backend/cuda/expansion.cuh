/// Frozen weights expanded on a stream of their own, beside the products of the ones before.
#pragma once

#include <array>
#include <cstddef>

#include <qlora/backend/cuda/dequantize.cuh>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::cuda {

/// Takes turns with two panels: one is filled while what reads the other goes on.
class Expansion {
 public:
  static constexpr int panels = 2;

  /// Starts anew with the first panel, after all that `stream` was asked for. A recording waits for
  /// nothing outside of it, nor anything for its inside: this comes first in it, and after it.
  void begin(Stream const& stream) {
    next_ = 0;
    for (auto& emptied : emptied_) {
      emptied.record(stream);
      side_.wait(emptied);
    }
  }

  /// Lets what `stream` is asked for next wait for all weights; last in a recording.
  void end(Stream const& stream) {
    filled_[next_].record(side_);
    stream.wait(filled_[next_]);
  }

  /// Calls `use(w)` with the weights, each (rows, columns), one below the other in a panel of
  /// `memory`, which holds both. What `use` asks of `stream` may read w, and nothing later.
  template <class T, class Weights, class Use>
  void run(Weights const& weights, Vector<T, Space::device> memory, Stream const& stream,
           Use&& use) {
    auto const turn = next_;
    next_ = 1 - next_;
    auto const rows = weights.front().rows();
    auto const columns = weights.front().columns();
    auto const count = static_cast<Index>(weights.size());
    auto const panel = Matrix<T, Space::device>{
        memory.data() + static_cast<Index>(turn) * (memory.size() / panels),
        {count * rows, columns}};
    side_.wait(emptied_[turn]);
    for (auto i = Index{0}; i < count; ++i) {
      dequantize(weights[static_cast<std::size_t>(i)], panel.slice(i * rows, rows), side_);
    }
    filled_[turn].record(side_);
    stream.wait(filled_[turn]);
    use(Matrix<T const, Space::device>{panel});
    emptied_[turn].record(stream);
  }

  Stream& stream() { return side_; }

 private:
  Stream side_;
  std::array<Event, panels> filled_, emptied_;
  std::size_t next_ = 0;
};

}  // namespace qlora::inline v1::cuda
