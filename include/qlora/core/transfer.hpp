/// Copies between memory spaces that are complete when they return: for setting up, and for
/// results. Steps use a backend's verbs.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/memory.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

/// Copies bytes; a backend specialises it for its own memory space.
template <Space To, Space From>
struct Transfer;

template <>
struct Transfer<Space::host, Space::host> {
  static void run(void* to, void const* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
};

/// to = from; both dense and of one shape. Throws ShapeError.
template <class T, class From, Space A, class To, Space B>
void transfer(View<T, From, A> from, View<std::remove_const_t<T>, To, B> to) {
  expect_shape(to, from.extents(), "transfer: destination");
  if (from.size() == 0) return;
  if (!from.is_dense() || !to.is_dense()) {
    throw ShapeError{"transfer: expected dense tensors of " + from.shape() + ", got strides " +
                     std::to_string(from.stride()) + " and " + std::to_string(to.stride())};
  }
  Transfer<B, A>::run(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(T));
}

/// A tensor with the elements of a dense view, in another memory space.
template <Space To, class T, class S, Space From>
Tensor<std::remove_const_t<T>, S, To> copied_to(View<T, S, From> from) {
  auto to = Tensor<std::remove_const_t<T>, S, To>{from.extents()};
  transfer(from, to.view());
  return to;
}

/// The tensor itself where it is in that space already, else a copy.
template <Space To, class T, class S, Space From>
Tensor<T, S, To> moved_to(Tensor<T, S, From> tensor) {
  if constexpr (To == From) {
    return tensor;
  } else {
    return copied_to<To>(tensor.view());
  }
}

/// Elements that the host can look at: the view itself, or a copy of it.
template <class T, class S>
View<T, S> on_host(View<T, S> view) {
  return view;
}
template <class T, class S, Space M>
requires(M != Space::host) Tensor<std::remove_const_t<T>, S> on_host(View<T, S, M> view) {
  return copied_to<Space::host>(view);
}

}  // namespace qlora::inline v1
