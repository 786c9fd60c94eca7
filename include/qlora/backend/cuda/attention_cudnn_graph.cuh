/// The graphs by which cuDNN computes attention over packed sequences: it is told where each of
/// them starts, and how long it is.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <qlora/backend/cuda/cudnn.cuh>
#include <qlora/core/memory.hpp>

namespace qlora::inline v1::cuda {

/// What a graph is made for. Sequences may be fewer and shorter.
struct CudnnAttentionShape {
  /// Matrices with a row for each token, and the number of them that the forward pass has.
  enum Matrix { q, k, v, out, stats, dout, dq, dk, dv };
  static constexpr auto forward_matrices = 5, backward_matrices = 9;

  Index sequences, longest, heads, head_dim;
  std::array<Index, backward_matrices> strides{};  ///< of rows, in elements

  auto operator<=>(CudnnAttentionShape const&) const = default;
};

/// The two graphs: the operations that NVIDIA's cudnn-frontend gives cuDNN for the same. The single
/// operations that cuDNN has as well (CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR and its backward
/// pass) are no way yet: cudnn-frontend leaves packed sequences' backward pass to the latter only
/// from cuDNN 9.28 on.
class CudnnAttentionGraph {
 public:
  using Shape = CudnnAttentionShape;
  /// Ids of data; of matrices and where their sequences start, plus Shape::Matrix.
  struct Id {
    static constexpr std::int64_t matrices = 1, starts = 11, query_lengths = 21, key_lengths = 22,
                                  delta = 23;
  };

  /// out = softmax(q k^T) v, and stats (n, heads), the logarithm of the sum of exp(q k^T).
  static CudnnGraph forward(Shape const& shape) {
    auto self = CudnnAttentionGraph{"cuDNN's attention", shape};
    auto& graph = self.graph_;
    auto const one = graph.constant(1.f);  // queries are scaled already
    auto scores = graph.multiply(self.rows(Shape::q), self.columns(Shape::k), self.scores(),
                                 {.m = self.queries_, .n = self.keys_});
    scores = graph.apply({CUDNN_POINTWISE_MUL}, self.scores(), scores, one);
    scores = self.masked(scores);
    auto const largest = graph.reduce(CUDNN_REDUCE_TENSOR_MAX, self.sums(), scores);
    scores = graph.apply({CUDNN_POINTWISE_SUB}, self.scores(), scores, largest);
    scores = graph.apply({CUDNN_POINTWISE_EXP}, self.scores(), scores);
    auto const sum = graph.reduce(CUDNN_REDUCE_TENSOR_ADD, self.sums(), scores);
    auto const log = graph.apply({CUDNN_POINTWISE_LOG}, self.sums(), sum);
    graph.apply({CUDNN_POINTWISE_ADD}, self.statistics(), largest, log);
    auto const p =
        graph.apply({CUDNN_POINTWISE_DIV}, self.scores(CUDNN_DATA_BFLOAT16), scores, sum);
    graph.multiply(p, self.rows(Shape::v), self.rows(Shape::out),
                   {.m = self.queries_, .k = self.keys_});
    return std::move(graph);
  }

  /// dq = ds k, dk = ds^T q and dv = p^T dout, where p = exp(q k^T - stats), ds = p (dout v^T -
  /// delta), and delta is the sum of a query's dout out. This form, in which dq is one product, is
  /// cudnn-frontend's deterministic one for Hopper: ds, in bf16, is kept in a workspace of
  /// sequences heads longest^2 numbers. The other accumulates dq in float from several blocks, in
  /// any order, and no attribute tells them apart: neither's engine notes that it is
  /// nondeterministic (CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC).
  static CudnnGraph backward(Shape const& shape) {
    auto self = CudnnAttentionGraph{"cuDNN's backward pass of attention", shape};
    auto& graph = self.graph_;
    auto const one = graph.constant(1.f);
    auto const dout = self.rows(Shape::dout);
    auto const queries = self.rows(Shape::q);
    auto const keys = self.columns(Shape::k);

    auto const [b, h, s, d] = self.sizes_;
    auto const product =
        graph.between(CUDNN_DATA_FLOAT, {b, h, s, d}, {h * s * d, s * d, h * d, 1});
    graph.apply({CUDNN_POINTWISE_MUL}, product, dout, self.rows(Shape::out));
    auto const sum = graph.reduce(CUDNN_REDUCE_TENSOR_ADD, self.sums(), product);
    auto const delta = graph.data(Id::delta, CUDNN_DATA_FLOAT, {b, h, s, 1}, {h * s, s, 1, 1});
    graph.apply({CUDNN_POINTWISE_MUL}, delta, sum, graph.constant(1.f));

    auto scores =
        graph.multiply(queries, keys, self.scores(), {.m = self.queries_, .n = self.keys_});
    scores = graph.apply({CUDNN_POINTWISE_MUL}, self.scores(), scores, one);
    scores = graph.apply({CUDNN_POINTWISE_SUB}, self.scores(), scores, self.statistics());
    auto const p = graph.apply({CUDNN_POINTWISE_EXP}, self.scores(), self.masked(scores));
    graph.multiply(self.transposed(p), dout, self.rows(Shape::dv),
                   {.m = self.keys_, .k = self.queries_});

    auto ds = graph.multiply(dout, self.columns(Shape::v), self.scores(),
                             {.m = self.queries_, .n = self.keys_});
    ds = graph.apply({CUDNN_POINTWISE_SUB}, self.scores(), ds, delta);
    ds = graph.apply({CUDNN_POINTWISE_MUL}, self.scores(), ds, p);
    ds = graph.apply({CUDNN_POINTWISE_MUL}, self.scores(), ds, one);
    graph.multiply(self.transposed(ds), queries, self.rows(Shape::dk),
                   {.m = self.keys_, .k = self.queries_});
    auto const stride = shape.strides[Shape::k];
    auto const key_rows = graph.between(CUDNN_DATA_BFLOAT16, self.sizes_,
                                        {s * stride, d, stride, 1}, self.key_starts_);
    graph.multiply(ds, graph.reshape(key_rows, keys), self.rows(Shape::dq),
                   {.m = self.queries_, .k = self.keys_});
    return std::move(graph);
  }

 private:
  using Tensor = CudnnGraph::Tensor;
  using Sizes = CudnnGraph::Sizes;

  CudnnAttentionGraph(char const* name, Shape const& shape)
      : shape_{shape},
        sizes_{shape.sequences, shape.heads, shape.longest, shape.head_dim},
        graph_{std::string{name} + " of " + std::to_string(shape.sequences) + " sequences of " +
               std::to_string(shape.longest) + " tokens, " + std::to_string(shape.heads) +
               " heads of " + std::to_string(shape.head_dim)} {
    auto const lengths = [&](std::int64_t id) {
      return graph_.data(id, CUDNN_DATA_INT32, {shape.sequences, 1, 1, 1}, {1, 1, 1, 1});
    };
    queries_ = lengths(Id::query_lengths);
    keys_ = lengths(Id::key_lengths);
  }

  /// A matrix as (sequences, heads, longest, head_dim), and with the last two exchanged.
  Tensor rows(Shape::Matrix which) {
    auto const [b, h, s, d] = sizes_;
    auto const stride = shape_.strides[which];
    return graph_.data(Id::matrices + which, CUDNN_DATA_BFLOAT16, {b, h, s, d},
                       {s * stride, d, stride, 1}, starts_of(which));
  }
  Tensor columns(Shape::Matrix which) {
    auto const [b, h, s, d] = sizes_;
    auto const stride = shape_.strides[which];
    auto const begins = starts_of(which);
    if (which == Shape::k) key_starts_ = begins;
    return graph_.data(Id::matrices + which, CUDNN_DATA_BFLOAT16, {b, h, d, s},
                       {s * stride, d, 1, stride}, begins);
  }
  Tensor statistics() {
    auto const [b, h, s, d] = sizes_;
    auto const stride = shape_.strides[Shape::stats];
    return graph_.data(Id::matrices + Shape::stats, CUDNN_DATA_FLOAT, {b, h, s, 1},
                       {s * stride, 1, stride, 1}, starts_of(Shape::stats));
  }
  Tensor starts_of(Shape::Matrix which) {
    return graph_.data(Id::starts + which, CUDNN_DATA_INT64, {shape_.sequences + 1, 1, 1, 1},
                       {1, 1, 1, 1});
  }

  /// A new (sequences, heads, queries, keys) between operations; (.., keys, queries); one number a
  /// query.
  Tensor scores(cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    auto const [b, h, s, d] = sizes_;
    return graph_.between(type, {b, h, s, s}, {h * s * s, s * s, s, 1});
  }
  Tensor transposed(Tensor x) {
    auto const [b, h, s, d] = sizes_;
    return graph_.reshape(
        graph_.between(CUDNN_DATA_BFLOAT16, {b, h, s, s}, {h * s * s, s * s, 1, s}), x);
  }
  Tensor sums() {
    auto const [b, h, s, d] = sizes_;
    return graph_.between(CUDNN_DATA_FLOAT, {b, h, s, 1}, {h * s, s, 1, 1});
  }

  /// Scores where both query and key are of the sequence, minus infinity elsewhere.
  Tensor masked(Tensor x) {
    auto const inside = [&](std::int64_t axis, Tensor lengths) {
      auto const index = graph_.apply({CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_INT32, axis},
                                      scores(CUDNN_DATA_INT32), x);
      return graph_.apply({CUDNN_POINTWISE_CMP_LT, CUDNN_DATA_BOOLEAN}, scores(CUDNN_DATA_BOOLEAN),
                          index, lengths);
    };
    auto const query = inside(2, queries_);
    auto const key = inside(3, keys_);
    auto const both = graph_.apply({CUDNN_POINTWISE_LOGICAL_AND, CUDNN_DATA_BOOLEAN},
                                   scores(CUDNN_DATA_BOOLEAN), query, key);
    return graph_.apply({CUDNN_POINTWISE_BINARY_SELECT}, scores(), x,
                        graph_.constant(-std::numeric_limits<float>::infinity()), both);
  }

  Shape shape_;
  Sizes sizes_;
  CudnnGraph graph_;
  Tensor queries_, keys_;
  Tensor key_starts_ = nullptr;
};

}  // namespace qlora::inline v1::cuda
