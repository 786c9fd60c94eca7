/// Self-attention within one sequence and one head, row by row. Queries arrive scaled and rotated.
#pragma once

#include <algorithm>
#include <cmath>

#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::reference {

template <class T>
Accumulate<T> dot(Vector<T const> a, Vector<T const> b) {
  auto sum = Accumulate<T>{0};
  for (auto j = Index{0}; j < a.size(); ++j) {
    sum += convert<Accumulate<T>>(a[j]) * convert<Accumulate<T>>(b[j]);
  }
  return sum;
}

/// Numbers of scratch that a head needs, forward or backward.
inline Index attention_scratch(Index length, Index head_dim) {
  return length + 3 * length * head_dim;
}

/// q, k, v, out (length, head_dim), lse (length): out = softmax(q k^T) v, lse = log(sum(exp(q
/// k^T))).
template <class T, class A = Accumulate<T>>
void attention_head(Matrix<T const> q, Matrix<T const> k, Matrix<T const> v, A* scratch,
                    Matrix<T> out, Vector<A> lse) {
  auto const length = q.rows();
  auto const probabilities = Vector<A>{scratch, {length}};
  auto const sum = Vector<A>{scratch + length, {q.columns()}};
  for (auto i = Index{0}; i < length; ++i) {
    for (auto j = Index{0}; j < length; ++j) probabilities[j] = dot<T>(q.row(i), k.row(j));
    auto const largest = *std::max_element(probabilities.begin(), probabilities.end());
    auto total = A{0};
    for (auto& value : probabilities) total += value = std::exp(value - largest);
    std::fill(sum.begin(), sum.end(), A{0});
    for (auto j = Index{0}; j < length; ++j) {
      for (auto c = Index{0}; c < sum.size(); ++c) sum[c] += probabilities[j] * convert<A>(v(j, c));
    }
    for (auto c = Index{0}; c < sum.size(); ++c) out(i, c) = convert<T>(sum[c] / total);
    lse[i] = largest + std::log(total);
  }
}

/// Gradients of the above: with p = softmax(q k^T), dv = p^T dout, ds = p (dout v^T - rowsum(dout
/// out)), dq = ds k, dk = ds^T q. The probabilities come back from lse.
template <class T, class A = Accumulate<T>>
void attention_head_backward(Matrix<T const> q, Matrix<T const> k, Matrix<T const> v,
                             Matrix<T const> out, Matrix<T const> dout, Vector<A const> lse,
                             A* scratch, Matrix<T> dq, Matrix<T> dk, Matrix<T> dv) {
  auto const length = q.rows();
  auto const head_dim = q.columns();
  auto const size = length * head_dim;
  std::fill(scratch, scratch + 3 * size, A{0});
  auto const sum_q = Matrix<A>{scratch, {length, head_dim}};
  auto const sum_k = Matrix<A>{scratch + size, {length, head_dim}};
  auto const sum_v = Matrix<A>{scratch + 2 * size, {length, head_dim}};
  for (auto i = Index{0}; i < length; ++i) {
    auto const delta = dot<T>(dout.row(i), out.row(i));
    for (auto j = Index{0}; j < length; ++j) {
      auto const p = std::exp(dot<T>(q.row(i), k.row(j)) - lse[i]);
      auto const ds = p * (dot<T>(dout.row(i), v.row(j)) - delta);
      for (auto c = Index{0}; c < head_dim; ++c) {
        sum_q(i, c) += ds * convert<A>(k(j, c));
        sum_k(j, c) += ds * convert<A>(q(i, c));
        sum_v(j, c) += p * convert<A>(dout(i, c));
      }
    }
  }
  for (auto i = Index{0}; i < length; ++i) {
    for (auto c = Index{0}; c < head_dim; ++c) {
      dq(i, c) = convert<T>(sum_q(i, c));
      dk(i, c) = convert<T>(sum_k(i, c));
      dv(i, c) = convert<T>(sum_v(i, c));
    }
  }
}

}  // namespace qlora::inline v1::reference
