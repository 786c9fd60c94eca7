/// The skinny products of low-rank adapters (Hu et al., arXiv:2106.09685) on a tile of tokens.
#pragma once

#include <algorithm>
#include <cstdint>

#include <qlora/backend/concepts.hpp>
#include <qlora/core/packing.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::reference {

/// Calls `body(column, factor)` for each column of one token's row: 0 where dropout takes the
/// element, its scale elsewhere; 1 everywhere without dropout.
template <class A, class Body>
void for_each_kept(Dropout const& dropout, std::uint32_t site, std::uint32_t sample,
                   std::uint32_t position, Index columns, Body&& body) {
  if (!dropout.active()) {
    for (auto c = Index{0}; c < columns; ++c) body(c, A{1});
    return;
  }
  auto const octets = (columns + 7) / 8;
  auto const scale = static_cast<A>(dropout.scale());
  for (auto octet = Index{0}; octet < octets; ++octet) {
    auto const block =
        dropout_block(dropout, site, sample, position, static_cast<std::uint32_t>(octets),
                      static_cast<std::uint32_t>(octet));
    for (auto c = octet * 8; c < std::min(columns, octet * 8 + 8); ++c) {
      auto const kept = dropout_bits(block, static_cast<int>(c % 8)) >= dropout.threshold();
      body(c, kept ? scale : A{0});
    }
  }
}

/// Calls `body(row, target, column, factor)` for every element that every target reads.
template <class A, class Body>
void for_each_input(LoraInput const& input, Packing<Space::host> const& packing, Rows rows,
                    Index columns, Body&& body) {
  for (auto i = rows.first; i < rows.first + rows.count; ++i) {
    for (auto target = Index{0}; target < input.targets; ++target) {
      auto const site = input.first_site + static_cast<std::uint32_t>(target);
      for_each_kept<A>(input.dropout, site, packing.samples[i],
                       static_cast<std::uint32_t>(packing.positions[i]), columns,
                       [&](Index c, A factor) { body(i, target, c, factor); });
    }
  }
}

/// h (n, targets r) = dropout(x) (n, d) a (targets r, d)^T for `rows`.
template <class T, class A>
void lora_project_rows(Matrix<T const> x, Matrix<A const> a, LoraInput const& input,
                       Packing<Space::host> const& packing, Rows rows, Matrix<A> h) {
  auto const rank = a.rows() / input.targets;
  for (auto i = rows.first; i < rows.first + rows.count; ++i) {
    for (auto r = Index{0}; r < a.rows(); ++r) h(i, r) = A{0};
  }
  for_each_input<A>(input, packing, rows, x.columns(),
                    [&](Index i, Index target, Index c, A factor) {
                      auto const value = factor * convert<A>(x(i, c));
                      for (auto r = target * rank; r < (target + 1) * rank; ++r)
                        h(i, r) += value * a(r, c);
                    });
}

/// dx (n, d) += dropout'(dh a) and da (targets r, d) += dh^T dropout(x) for `rows`; an empty dx is
/// left.
template <class T, class U, class A>
void lora_project_backward_rows(Matrix<T const> x, Matrix<A const> a, LoraInput const& input,
                                Packing<Space::host> const& packing, Matrix<A const> dh, Rows rows,
                                Matrix<U> dx, Matrix<A> da) {
  auto const rank = a.rows() / input.targets;
  for_each_input<A>(input, packing, rows, x.columns(),
                    [&](Index i, Index target, Index c, A factor) {
                      auto const value = factor * convert<A>(x(i, c));
                      auto gradient = A{0};
                      for (auto r = target * rank; r < (target + 1) * rank; ++r) {
                        da(r, c) += dh(i, r) * value;
                        gradient += dh(i, r) * a(r, c);
                      }
                      if (dx.data() != nullptr)
                        dx(i, c) = convert<U>(convert<A>(dx(i, c)) + factor * gradient);
                    });
}

/// y (n, out) += scale h (n, r) b (out, r)^T for `rows`.
template <class U, class A>
void lora_expand_rows(Matrix<A const> h, Matrix<A const> b, A scale, Rows rows, Matrix<U> y) {
  for (auto i = rows.first; i < rows.first + rows.count; ++i) {
    for (auto o = Index{0}; o < b.rows(); ++o) {
      auto sum = A{0};
      for (auto r = Index{0}; r < b.columns(); ++r) sum += h(i, r) * b(o, r);
      y(i, o) = convert<U>(convert<A>(y(i, o)) + scale * sum);
    }
  }
}

/// dh (n, r) = scale dy (n, out) b (out, r) and db (out, r) += scale dy^T h for `rows`.
template <class U, class A>
void lora_expand_backward_rows(Matrix<A const> h, Matrix<A const> b, A scale, Matrix<U const> dy,
                               Rows rows, Matrix<A> dh, Matrix<A> db) {
  for (auto i = rows.first; i < rows.first + rows.count; ++i) {
    for (auto r = Index{0}; r < b.columns(); ++r) dh(i, r) = A{0};
    for (auto o = Index{0}; o < b.rows(); ++o) {
      auto const gradient = scale * convert<A>(dy(i, o));
      for (auto r = Index{0}; r < b.columns(); ++r) {
        dh(i, r) += gradient * b(o, r);
        db(o, r) += gradient * h(i, r);
      }
    }
  }
}

}  // namespace qlora::inline v1::reference
