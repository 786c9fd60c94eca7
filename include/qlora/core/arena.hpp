/// One allocation at start-up, handed out in order: steady-state steps allocate nothing.
#pragma once

#include <algorithm>
#include <string>

#include <qlora/core/error.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

/// A bump allocator over one buffer. A layout is a function that takes tensors from an arena; run
/// first on a measuring arena, it tells how large the real one must be:
///
///     auto const layout = [&](auto& arena) { return Activations{arena, tokens}; };
///     auto arena = Arena<Space::host>{Arena<Space::host>::measure(layout)};
///     auto activations = layout(arena);
template <Space M>
class Arena {
 public:
  /// A position to which `release` returns.
  using Mark = std::size_t;

  explicit Arena(std::size_t bytes) : buffer_{bytes}, capacity_{bytes} {}

  /// Bytes that `layout(arena)` takes at its peak.
  template <class Layout>
  static std::size_t measure(Layout&& layout) {
    auto arena = Arena{Measuring{}};
    layout(arena);
    return arena.peak_;
  }

  /// A vector of `size`, or a matrix of `rows` x `columns`, uninitialised. Throws SystemError when
  /// the arena is exhausted.
  template <class T>
  Vector<T, M> vector(Index size) {
    return {take<T>(size), {size}};
  }
  template <class T>
  Matrix<T, M> matrix(Index rows, Index columns) {
    return {take<T>(rows * columns), {rows, columns}};
  }

  /// Runs layouts that begin at the same place: for tensors of which no two are needed at a time.
  template <class... Layouts>
  void overlay(Layouts&&... layouts) {
    auto const first = used_;
    auto end = used_;
    ((used_ = first, layouts(), end = std::max(end, used_)), ...);
    used_ = end;
  }

  Mark mark() const { return used_; }
  void release(Mark mark) { used_ = mark; }
  std::size_t capacity_bytes() const { return capacity_; }

 private:
  struct Measuring {};
  explicit Arena(Measuring) : capacity_{~std::size_t{0} / 2}, measuring_{true} {}

  template <class T>
  T* take(Index count) {
    auto const bytes = static_cast<std::size_t>(count) * sizeof(T);
    auto const rounded = round_up(bytes, alignment_bytes);
    auto const free = capacity_ - used_;
    if (std::max(bytes, rounded) > free) {  // rounding a negative size up wraps to zero
      throw SystemError{"arena: expected " + std::to_string(bytes) + " free bytes, found " +
                        std::to_string(free) + " of " + std::to_string(capacity_)};
    }
    auto* const data = measuring_ ? nullptr : reinterpret_cast<T*>(buffer_.data() + used_);
    used_ += rounded;
    peak_ = std::max(peak_, used_);
    return data;
  }

  Buffer<M> buffer_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
  bool measuring_ = false;
};

}  // namespace qlora::inline v1
