/// The CUDA backend: every verb of backend/concepts.hpp as kernels, and products by a policy. Work
/// is queued on one stream in the order of the calls, but for frozen weights, which are expanded
/// beside it, and no verb waits for it: whoever reads results on the host waits for the stream
/// first. Sums have a fixed order: the same bits every time.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cuda/attention.cuh>
#include <qlora/backend/cuda/dequantize.cuh>
#include <qlora/backend/cuda/elementwise.cuh>
#include <qlora/backend/cuda/expansion.cuh>
#include <qlora/backend/cuda/layer_norm.cuh>
#include <qlora/backend/cuda/lora.cuh>
#include <qlora/backend/cuda/map.cuh>
#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/reduce.cuh>
#include <qlora/backend/cuda/repeats.cuh>
#include <qlora/backend/cuda/rotary.cuh>
#include <qlora/backend/cuda/scratch.cuh>
#include <qlora/backend/cuda/staging.cuh>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/rounding.hpp>

namespace qlora::inline v1::cuda {

/// `T` is what activations are stored and multiplied in. `Products` multiplies whole matrices:
/// `multiply_transposed(x, w, bias, y, write, workspace, stream)` and `multiply(dy, w, dx, write,
/// workspace, stream)`, where the workspace is device memory of `Products::workspace_bytes`.
/// `Attention` has `forward(AttentionForward<T>, stream)` and `backward(AttentionBackward<T>,
/// stream)`.
template <ComputeType T, class Products, class Attention = OwnAttention>
class Backend {
 public:
  using Compute = T;
  using Accumulator = Accumulate<T>;
  using A = Accumulator;
  static constexpr Space space = Space::device;

  /// Throws SystemError where there is no device.
  Backend() = default;

  Stream const& stream() const { return stream_; }

  // ---- products with frozen weights

  /// y (out, in) = the weight, to the same bits as on the host.
  template <class Weight>
  void dequantize(Weight const& weight, Matrix<T, space> y) {
    cuda::dequantize(weight, y, stream_);
  }

  /// The memory for `expanded` holds two of the largest.
  static constexpr int panels = Expansion::panels;
  template <class Weights, class Use>
  void expanded(Weights const& weights, Vector<T, space> memory, Use&& use) {
    expansion_.run(weights, memory, stream_, use);
  }

  /// Where y is bf16, the bias is rounded to bf16 before it is added in float, as cuBLASLt wants it
  /// to be of y's type.
  template <class U>
  void linear(Matrix<T const, space> x, Matrix<T const, space> w, Vector<A const, space> bias,
              Matrix<U, space> y, Write write) {
    expect_shape(w, {y.columns(), x.columns()}, "linear: weight");
    expect_shape(y, {x.rows(), w.rows()}, "linear: output");
    if (bias.data() != nullptr) expect_shape(bias, {w.rows()}, "linear: bias");
    auto const rounded = bias.data() != nullptr && !std::same_as<U, A>;
    auto const bias_bytes = rounded ? static_cast<std::size_t>(bias.size()) * sizeof(U) : 0;
    auto const [bias_memory, workspace] =
        scratch_.take(std::array{bias_bytes, Products::workspace_bytes});
    products_.multiply_transposed(x, w, of_type(bias, reinterpret_cast<U*>(bias_memory)), y, write,
                                  workspace, stream_);
  }

  template <class U>
  void linear_backward(Matrix<T const, space> dy, Matrix<T const, space> w, Matrix<U, space> dx,
                       Write write) {
    expect_shape(w, {dy.columns(), dx.columns()}, "linear_backward: weight");
    expect_shape(dx, {dy.rows(), w.columns()}, "linear_backward: input gradient");
    auto* const workspace = scratch_.template take<std::byte>(Index{Products::workspace_bytes});
    products_.multiply(dy, w, dx, write, workspace, stream_);
  }

  // ---- skinny products with trained parameters

  template <class U>
  void lora_project(Matrix<U const, space> x, Matrix<A const, space> a, LoraInput const& input,
                    Packing<space> const& packing, Matrix<A, space> h) {
    expect_shape(a, {h.columns(), x.columns()}, "lora_project: a");
    expect_shape(h, {x.rows(), a.rows()}, "lora_project: output");
    project(x, by_octets(a), A{1}, masks_of(input, packing, x.columns()), input.targets, h);
  }

  template <class U, class V>
  void lora_project_backward(Matrix<U const, space> x, Matrix<A const, space> a,
                             LoraInput const& input, Packing<space> const& packing,
                             Matrix<A const, space> dh, Matrix<V, space> dx, Matrix<A, space> da) {
    expect_shape(dh, {x.rows(), a.rows()}, "lora_project_backward: output gradient");
    expect_shape(da, a.extents(), "lora_project_backward: parameter gradient");
    auto const masks = masks_of(input, packing, x.columns());
    add_outer(dh, x, A{1}, masks, input.targets, strided(da));
    if (dx.data() == nullptr) return;
    expect_shape(dx, x.extents(), "lora_project_backward: input gradient");
    add(dh, by_octets(a), A{1}, masks, input.targets, dx);
  }

  template <class U>
  void lora_expand(Matrix<A const, space> h, Matrix<A const, space> b, A scale,
                   Matrix<U, space> y) {
    expect_shape(b, {y.columns(), h.columns()}, "lora_expand: b");
    add(h, turned(b), scale, Masks{}, 1, y);
  }

  template <class U>
  void lora_expand_backward(Matrix<A const, space> h, Matrix<A const, space> b, A scale,
                            Matrix<U const, space> dy, Matrix<A, space> dh, Matrix<A, space> db) {
    expect_shape(db, b.extents(), "lora_expand_backward: parameter gradient");
    project(dy, turned(b), scale, Masks{}, 1, dh);
    add_outer(h, dy, scale, Masks{}, 1, transposed(db));
  }

  // ---- between the products

  void embed(Vector<std::int32_t const, space> ids, A scale, Matrix<A const, space> table,
             Matrix<A, space> y) {
    expect_shape(y, {ids.size(), table.columns()}, "embed: output");
    for_each_element(y.rows(), y.columns(), stream_,
                     Embed<A>{ids.data(), scale, strided(table), strided(y)});
  }

  template <class U>
  void layer_norm(Matrix<A const, space> x, Vector<A const, space> gamma,
                  Vector<A const, space> beta, A epsilon, Matrix<U, space> y,
                  Matrix<A, space> stats) {
    expect_shape(y, x.extents(), "layer_norm: output");
    expect_shape(stats, {x.rows(), 2}, "layer_norm: stats");
    auto const packed = are_packs(x) && are_packs(y) && are_packs(gamma) && are_packs(beta);
    with_kept_row<A>(x.columns(), packed, [&](auto width, auto kept) {
      for_each_row(x.rows(), stream_,
                   LayerNorm<A, U, width(), kept()>{strided(x), gamma.data(), beta.data(), epsilon,
                                                    static_cast<int>(x.columns()), strided(y),
                                                    strided(stats)});
    });
  }

  void layer_norm_backward(Matrix<A const, space> dy, Matrix<A const, space> x,
                           Vector<A const, space> gamma, Matrix<A const, space> stats,
                           Matrix<A, space> dx) {
    expect_shape(dy, x.extents(), "layer_norm_backward: output gradient");
    expect_shape(dx, x.extents(), "layer_norm_backward: input gradient");
    auto const packed = are_packs(x) && are_packs(dy) && are_packs(dx) && are_packs(gamma);
    with_kept_row<A>(x.columns(), packed, [&](auto width, auto kept) {
      for_each_row(x.rows(), stream_,
                   LayerNormBackward<A, width(), kept()>{strided(dy), strided(x), gamma.data(),
                                                         strided(stats), strided(dx), x.columns()});
    });
  }

  void gelu(Matrix<T const, space> u, Matrix<T, space> g) {
    expect_shape(g, u.extents(), "gelu: output");
    map(u.rows(), u.columns(), stream_, Gelu{}, strided(g), strided(u));
  }

  void gelu_backward(Matrix<T const, space> u, Matrix<T const, space> dg, Matrix<T, space> du) {
    expect_shape(dg, u.extents(), "gelu_backward: output gradient");
    expect_shape(du, u.extents(), "gelu_backward: input gradient");
    map(u.rows(), u.columns(), stream_, GeluBackward{}, strided(du), strided(u), strided(dg));
  }

  void rotary(Matrix<T, space> x, Index heads, Packing<space> const& packing, A scale,
              Rotation rotation) {
    auto const half = x.columns() / heads / 2;
    rotary_.cover(packing.longest, 2 * half, stream_);
    auto const start = [&](auto count) {
      for_each_element(x.rows(), heads * half / count(), stream_,
                       Rotate<T, count()>{strided(x), packing.positions.data(), rotary_.cosines(),
                                          rotary_.sines(), static_cast<int>(half), scale,
                                          rotation == Rotation::forward ? A{1} : A{-1}});
    };
    if (half % octet_size == 0 && are_packs(x)) {
      start(std::integral_constant<int, octet_size>{});
    } else {
      start(std::integral_constant<int, 1>{});
    }
  }

  void attention(Matrix<T const, space> q, Matrix<T const, space> k, Matrix<T const, space> v,
                 Index heads, Packing<space> const& packing, Matrix<T, space> out,
                 Matrix<A, space> lse) {
    expect_shape(lse, {heads, q.rows()}, "attention: lse");
    if (q.rows() == 0) return;
    attention_.forward(AttentionForward<T>{shape_of(q, heads, packing), strided(q), strided(k),
                                           strided(v), strided(out), strided(lse)},
                       stream_);
  }

  void attention_backward(Matrix<T const, space> q, Matrix<T const, space> k,
                          Matrix<T const, space> v, Index heads, Packing<space> const& packing,
                          Matrix<T const, space> out, Matrix<T const, space> dout,
                          Matrix<A const, space> lse, Matrix<T, space> dq, Matrix<T, space> dk,
                          Matrix<T, space> dv) {
    expect_shape(lse, {heads, q.rows()}, "attention_backward: lse");
    if (q.rows() == 0) return;
    auto const shape = shape_of(q, heads, packing);
    auto const delta =
        Strided<A>{scratch_.template take<A>(heads * q.rows()), q.rows()};  // (heads, n)
    attention_.backward(
        AttentionBackward<T>{shape, strided(q), strided(k), strided(v), strided(out), strided(dout),
                             strided(lse), delta, strided(dq), strided(dk), strided(dv)},
        stream_);
  }

  // ---- the ends of the backward pass

  TokenBatch<space> stage(TokenBatch<Space::host> const& batch) {
    return staging_.upload(batch, stream_);
  }

  void copy(Matrix<A const, space> x, Matrix<A, space> y) {
    expect_shape(y, x.extents(), "copy: output");
    map(x.rows(), x.columns(), stream_, Round<A>{}, strided(y), strided(x));
  }

  void clear(Vector<A, space> v) { map(1, v.size(), stream_, Clear<A>{}, Strided<A>{v.data()}); }

  void round(Matrix<A const, space> x, Matrix<T, space> y) {
    expect_shape(y, x.extents(), "round: output");
    map(x.rows(), x.columns(), stream_, Round<T>{}, strided(y), strided(x));
  }

  void add_bias(Vector<A const, space> bias, Matrix<A, space> y) {
    expect_shape(bias, {y.columns()}, "add_bias: bias");
    map(y.rows(), y.columns(), stream_, Add{}, strided(y), strided(y),
        Strided<A const>{bias.data()});
  }

  void sum_rows(Matrix<A const, space> x, Vector<A, space> sum) {
    expect_shape(sum, {x.columns()}, "sum_rows: output");
    auto const chunks = groups_of(x.rows(), reduction_chunk);
    auto* const partials = scratch_.template take<A>(chunks * x.columns());
    for_each_element(chunks, x.columns(), stream_,
                     SumRows<A>{strided(x), x.rows(), x.columns(), partials});
    add_partials(partials, chunks, 1, x.columns(), {sum.data(), 0});
  }

  /// A copy on its way to the host.
  class Reading {
   public:
    StepNumbers wait() const {
      arrived_.synchronize();
      auto numbers = StepNumbers{};
      std::memcpy(&numbers, memory_.data(), sizeof numbers);
      return numbers;
    }

   private:
    friend class Backend;
    Event arrived_;
    PinnedBuffer memory_{sizeof(StepNumbers)};
  };
  static constexpr bool asynchronous = true;

  /// Passes that come again start as one CUDA graph.
  using Repeats = cuda::Repeats;
  template <class Body>
  void repeat(Repeats& repeats, BatchShape const& shape, Body&& body) {
    repeats.find(shape, body, [&](Recording& recording) {
      auto const whole = [&] {
        expansion_.begin(stream_);
        body();
        expansion_.end(stream_);
      };
      auto& side = expansion_.stream();
      try {
        if (!recording.repeat(stream_, side, whole)) recording.record(stream_, side, whole);
      } catch (...) {
        expansion_.begin(stream_);  // or later passes would wait for places in a lost recording
        throw;
      }
      expansion_.begin(stream_);
    });
  }

  void begin_step(Vector<StepNumbers, space> numbers) {
    for_each_element(1, 1, stream_, BeginStep{numbers.data()});
  }

  void cross_entropy(Matrix<A const, space> logits, Vector<std::int32_t const, space> labels,
                     std::array<double, 2> class_weights, double scale, Matrix<A, space> dlogits,
                     Vector<StepNumbers, space> numbers) {
    expect_shape(logits, {labels.size(), 2}, "cross_entropy: logits");
    expect_shape(dlogits, logits.extents(), "cross_entropy: gradient");
    sum(labels.size(),
        CrossEntropy<A>{strided(logits),
                        labels.data(),
                        {class_weights[0], class_weights[1]},
                        scale,
                        strided(dlogits)},
        Write::accumulate, &numbers.data()->loss);
  }

  void squared_norm(Vector<A const, space> v, Vector<StepNumbers, space> numbers) {
    sum(v.size(), Square<A>{v.data()}, Write::assign, &numbers.data()->squared_norm);
  }

  void count_update(Vector<StepNumbers, space> numbers) {
    for_each_element(1, 1, stream_, CountUpdate{numbers.data()});
  }

  void adamw(Vector<A, space> parameters, Vector<A const, space> gradients, Vector<A, space> first,
             Vector<A, space> second, AdamWStep const& options,
             Vector<StepNumbers const, space> numbers) {
    expect_shape(gradients, parameters.extents(), "adamw: gradients");
    auto* const step = scratch_.template take<formula::AdamW<A>>(1);
    for_each_element(1, 1, stream_, PrepareAdamW<A>{options, numbers.data(), step});
    for_each_element(
        1, parameters.size(), stream_,
        UpdateAdamW<A>{parameters.data(), gradients.data(), first.data(), second.data(), step});
  }

  void read(Vector<StepNumbers const, space> numbers, Reading& reading) {
    check(cudaMemcpyAsync(reading.memory_.data(), numbers.data(), sizeof(StepNumbers),
                          cudaMemcpyDefault, stream_),
          "copy of a step's numbers");
    reading.arrived_.record(stream_);
  }

 private:
  static Stream open() {
    require_device();
    return Stream{};
  }
  static Index groups_of(Index rows, Index size) { return ceil_div(rows, size); }
  static Index octets(Index columns) { return groups_of(columns, octet_size); }
  template <class U>
  static bool are_packs(Matrix<U, space> x) {
    return in_packs(strided(x), x.rows(), x.columns());
  }
  template <class U>
  static bool are_packs(Vector<U, space> x) {
    return in_packs(Strided<U>{x.data()}, 1, x.size());
  }
  template <class U>
  static Octets<U> by_octets(Matrix<U, space> x) {
    return {strided(x), x.rows(), x.columns()};
  }
  static AttentionShape shape_of(Matrix<T const, space> q, Index heads,
                                 Packing<space> const& packing) {
    return {packing.offsets.data(), packing.sequences(), packing.longest, q.rows(), heads,
            q.columns() / heads};
  }

  /// The bias in the type that a product adds it in, in this memory where it needs any.
  template <class U>
  Vector<U const, space> of_type(Vector<A const, space> bias, [[maybe_unused]] U* rounded) {
    if constexpr (std::same_as<U, A>) {
      return bias;
    } else {
      if (bias.data() == nullptr) return {};
      map(1, bias.size(), stream_, Round<U>{}, Strided<U>{rounded}, Strided<A const>{bias.data()});
      return {rounded, {bias.size()}};
    }
  }

  /// b (out, r) as (r, out), until the next verb.
  Octets<A const> turned(Matrix<A const, space> b) {
    // Of one or two ranks, neighbours of a row lie close enough as they are.
    if (b.columns() <= 2) return {transposed(b), b.columns(), b.rows()};
    auto const to = Matrix<A, space>{scratch_.template take<A>(b.size()), {b.columns(), b.rows()}};
    map(to.rows(), to.columns(), stream_, Round<A>{}, strided(to), transposed(b));
    return by_octets(Matrix<A const, space>{to});
  }
  /// h (n, targets r) = scale dropout(x) a^T.
  template <class U>
  void project(Matrix<U const, space> x, Octets<A const> const& a, A scale, Masks const& masks,
               Index targets, Matrix<A, space> h) {
    auto const rank = h.columns() / targets;
    with_ranks<A>(rank, [&]<int Ranks>(std::integral_constant<int, Ranks>) {
      using Project = LoraProject<U, A, Ranks>;
      for_each_row(groups_of(x.rows(), Project::rows_at_once), stream_,
                   Project{by_octets(x), a, scale, masks, strided(h), x.rows(), targets, rank});
    });
  }
  /// y (n, columns) += scale dropout'(h a).
  template <class V>
  void add(Matrix<A const, space> h, Octets<A const> const& a, A scale, Masks const& masks,
           Index targets, Matrix<V, space> y) {
    using Add = LoraAdd<V, A>;
    for_each_element(
        groups_of(y.rows(), Add::rows_at_once), octets(y.columns()), stream_,
        Add{strided(h), a, scale, masks, by_octets(y), y.rows(), targets, h.columns() / targets});
  }
  /// out (targets r, columns) += scale dh^T dropout(x).
  template <class U>
  void add_outer(Matrix<A const, space> dh, Matrix<U const, space> x, A scale, Masks const& masks,
                 Index targets, Strided<A> const& out) {
    // Fewer tokens, smaller chunks: else there would be too few threads.
    auto const chunk = std::clamp<Index>(x.rows() / 256, 8, reduction_chunk);
    auto const chunks = groups_of(x.rows(), chunk);
    auto const rank = dh.columns() / targets;
    auto const partials =
        Matrix<A, space>{scratch_.template take<A>(chunks * dh.columns() * x.columns()),
                         {chunks * dh.columns(), x.columns()}};
    with_ranks<A>(rank, [&]<int Ranks>(std::integral_constant<int, Ranks>) {
      auto const outer =
          LoraOuter<U, A, Ranks>{strided(dh), by_octets(x), scale,   masks, by_octets(partials),
                                 x.rows(),    chunk,        targets, rank};
      for_each_element(chunks * targets * outer.groups(), octets(x.columns()), stream_, outer);
    });
    add_partials(partials.data(), chunks, dh.columns(), x.columns(), out);
  }
  void add_partials(A const* partials, Index chunks, Index rows, Index columns,
                    Strided<A> const& out) {
    auto const size = rows * columns;
    launch(add_partials_kernel<A>, dim3{blocks_for(size, warp_size)}, dim3{warp_size, partial_rows},
           stream_, partials, chunks, size, columns, out);
  }

  /// *out = or += the sum of `term(i)` over i < size.
  template <class Term>
  void sum(Index size, Term const& term, Write write, double* out) {
    auto const blocks = blocks_for(size, reduction_threads);
    auto* const partials = scratch_.template take<double>(Index{blocks});
    auto const threads = dim3{reduction_threads};
    if (size > 0) launch(sum_kernel<Term>, dim3{blocks}, threads, stream_, term, size, partials);
    launch(finish_sum_kernel<reduction_threads>, dim3{1}, threads, stream_,
           static_cast<double const*>(partials), Index{blocks}, write, out);
  }

  Stream stream_ = open();
  Products products_;
  Attention attention_;
  RotaryAngles<A> rotary_;
  Scratch scratch_;
  Expansion expansion_;
  Staging staging_;
};

}  // namespace qlora::inline v1::cuda
