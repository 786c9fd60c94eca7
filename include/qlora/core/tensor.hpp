/// Typed tensors: element type, extents (static where known) and memory space are in the type.
/// A `View` points at elements, a `Tensor` owns them, an `Arena` lends them out of one allocation.
#pragma once

#include <array>
#include <cassert>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/host_device.hpp>
#include <qlora/core/memory.hpp>

namespace qlora::inline v1 {

/// An extent that is known at run time only.
inline constexpr Index dyn = -1;

/// Extents of a tensor: `Shape<dyn, 320>` has any number of rows of 320 elements.
template <Index... Extents>
struct Shape {
  static_assert(sizeof...(Extents) > 0, "a tensor has at least one extent");
  static_assert(((Extents == dyn || Extents >= 0) && ...), "an extent is dyn or not negative");
  static constexpr int rank = sizeof...(Extents);
  static constexpr std::array<Index, sizeof...(Extents)> extents{Extents...};
};

namespace detail {

template <std::size_t Rank>
std::string to_string(std::array<Index, Rank> const& extents) {
  auto text = std::string{};
  for (auto const extent : extents) text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text;
}

/// Whether a tensor of shape `From` can be looked at as `To` at all; `dyn` is checked at run time.
template <class To, class From>
constexpr bool shapes_may_agree() {
  if constexpr (To::rank != From::rank) {
    return false;
  } else {
    for (auto i = std::size_t{0}; i < To::extents.size(); ++i) {
      if (To::extents[i] != dyn && From::extents[i] != dyn && To::extents[i] != From::extents[i]) {
        return false;
      }
    }
    return true;
  }
}

}  // namespace detail

/// A non-owning, row-major window on elements of type T (`T const` for reading) in one memory
/// space. Consecutive but for the outermost extent, whose `stride()` may exceed the inner size, so
/// that a range of a matrix's columns is a view as well. Copying is cheap; constness is the
/// element's.
template <class T, class S, Space M = Space::host>
class View {
 public:
  static constexpr int rank = S::rank;
  static constexpr Space space = M;
  using Extents = std::array<Index, std::size_t{S::rank}>;

  View() = default;

  /// A dense view of `extents` at `data`. Throws ShapeError when a static extent differs.
  QLORA_HOST_DEVICE View(T* data, Extents extents) : View{data, extents, inner_size(extents)} {}

  /// The same with `stride` elements from one outermost slice to the next.
  QLORA_HOST_DEVICE View(T* data, Extents extents, Index stride)
      : data_{data}, extents_{extents}, stride_{stride} {
#if !defined(__CUDA_ARCH__)
    for (auto i = std::size_t{0}; i < extents.size(); ++i) {
      if (S::extents[i] != dyn && S::extents[i] != extents[i]) {
        throw ShapeError{"expected shape " + detail::to_string(S::extents) + ", got " +
                         detail::to_string(extents)};
      }
    }
#endif
  }

  /// From a mutable to a constant view, and between static and run-time extents.
  template <class U, class F>
  requires std::is_convertible_v<U (*)[], T (*)[]> &&
      (detail::shapes_may_agree<S, F>())QLORA_HOST_DEVICE
      View(View<U, F, M> const& other)  // NOLINT(google-explicit-constructor)
      : View{other.data(), other.extents(), other.stride()} {}

  QLORA_HOST_DEVICE T* data() const {
    return data_;
  }
  QLORA_HOST_DEVICE Extents const& extents() const {
    return extents_;
  }
  QLORA_HOST_DEVICE Index extent(int i) const {
    return extents_[static_cast<std::size_t>(i)];
  }
  QLORA_HOST_DEVICE Index stride() const {
    return stride_;
  }
  QLORA_HOST_DEVICE Index size() const {
    return extents_[0] * inner_size(extents_);
  }
  QLORA_HOST_DEVICE Index rows() const {
    return extents_[0];
  }
  QLORA_HOST_DEVICE Index columns() const requires(rank == 2) {
    return extents_[1];
  }
  bool is_dense() const {
    return stride_ == inner_size(extents_);
  }
  std::string shape() const {
    return detail::to_string(extents_);
  }

  T& operator[](Index i) const requires(rank == 1 && M == Space::host) {
    assert(0 <= i && i < extents_[0]);
    return data_[i * stride_];
  }
  T& operator()(Index i, Index j) const requires(rank == 2 && M == Space::host) {
    assert(0 <= i && i < extents_[0] && 0 <= j && j < extents_[1]);
    return data_[i * stride_ + j];
  }

  /// Iteration over a dense vector.
  T* begin() const requires(rank == 1 && M == Space::host) {
    assert(is_dense());
    return data_;
  }
  T* end() const requires(rank == 1 && M == Space::host) {
    return data_ + extents_[0];
  }

  /// Row `i` of a matrix, a vector.
  QLORA_HOST_DEVICE View<T, Shape<dyn>, M> row(Index i) const requires(rank == 2) {
    return {data_ + i * stride_, {extents_[1]}};
  }
  /// `count` outermost slices from `first`.
  QLORA_HOST_DEVICE auto slice(Index first, Index count) const requires(rank == 1 || rank == 2) {
    if constexpr (rank == 1) {
      return View<T, Shape<dyn>, M>{data_ + first * stride_, {count}, stride_};
    } else {
      return View<T, Shape<dyn, S::extents[1]>, M>{
          data_ + first * stride_, {count, extents_[1]}, stride_};
    }
  }
  /// `count` columns of a matrix from `first`.
  QLORA_HOST_DEVICE View<T, Shape<S::extents[0], dyn>, M> columns(Index first, Index count) const
      requires(rank == 2) {
    return {data_ + first, {extents_[0], count}, stride_};
  }

 private:
  QLORA_HOST_DEVICE static constexpr Index inner_size(Extents const& extents) {
    auto size = Index{1};
    for (auto i = std::size_t{1}; i < extents.size(); ++i) size *= extents[i];
    return size;
  }

  T* data_ = nullptr;
  Extents extents_{};
  Index stride_ = inner_size(Extents{});  // an empty view is dense
};

/// Views with run-time extents, what verbs take.
template <class T, Space M = Space::host>
using Vector = View<T, Shape<dyn>, M>;
template <class T, Space M = Space::host>
using Matrix = View<T, Shape<dyn, dyn>, M>;

/// Owns its elements, uninitialised at first; move-only.
template <class T, class S, Space M = Space::host>
class Tensor {
  static_assert(std::is_trivially_copyable_v<T>, "a tensor's elements are plain data");

 public:
  using view_type = View<T, S, M>;
  using Extents = typename view_type::Extents;

  Tensor() = default;
  /// Throws ShapeError when `extents` cannot be the shape of anything in memory.
  explicit Tensor(Extents extents)
      : buffer_{bytes(extents)}, view_{reinterpret_cast<T*>(buffer_.data()), extents} {}
  Tensor(Tensor&& other) noexcept
      : buffer_{std::move(other.buffer_)}, view_{std::exchange(other.view_, {})} {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(buffer_, other.buffer_);
    std::swap(view_, other.view_);
    return *this;
  }

  view_type view() const { return view_; }
  operator view_type() const { return view_; }  // NOLINT(google-explicit-constructor)
  template <class U, class F>
  requires std::is_constructible_v<View<U, F, M>, view_type>
  operator View<U, F, M>() const {  // NOLINT(google-explicit-constructor)
    return view_;
  }

  T* data() const { return view_.data(); }
  Extents const& extents() const { return view_.extents(); }
  Index extent(int i) const { return view_.extent(i); }
  Index size() const { return view_.size(); }

 private:
  static std::size_t bytes(Extents const& extents) {
    auto bytes = Index{sizeof(T)};
    for (auto const extent : extents) {
      if (extent < 0 || (extent > 0 && bytes > std::numeric_limits<Index>::max() / extent)) {
        throw ShapeError{"tensor: expected a shape that memory can hold, found " +
                         detail::to_string(extents)};
      }
      bytes *= extent;
    }
    return static_cast<std::size_t>(bytes);
  }

  Buffer<M> buffer_;
  view_type view_;
};

template <class T, Space M = Space::host>
using VectorTensor = Tensor<T, Shape<dyn>, M>;
template <class T, Space M = Space::host>
using MatrixTensor = Tensor<T, Shape<dyn, dyn>, M>;

/// Throws ShapeError unless `view` has these extents; `what` names the operand and its place.
template <class V>
void expect_shape(V const& view, typename V::Extents const& expected, char const* what) {
  if (view.extents() != expected) {
    throw ShapeError{std::string{what} + ": expected " + detail::to_string(expected) + ", got " +
                     view.shape()};
  }
}

}  // namespace qlora::inline v1
