/// The CPU backend: tiles the work, spreads tiles over threads, and leaves each tile to the
/// functions of `cpu/`. Rows do not depend on their tile, and partial sums are of fixed chunks and
/// added in order, so bits depend neither on the number of threads nor, for a protein, on its
/// neighbours in the batch.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <string>
#include <vector>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cpu/attention.hpp>
#include <qlora/backend/cpu/eigen_products.hpp>
#include <qlora/backend/cpu/gelu.hpp>
#include <qlora/backend/cpu/layer_norm.hpp>
#include <qlora/backend/cpu/lora.hpp>
#include <qlora/backend/cpu/optimizer.hpp>
#include <qlora/backend/cpu/pieces.hpp>
#include <qlora/backend/cpu/rotary.hpp>
#include <qlora/backend/cpu/simd/kernels.hpp>
#include <qlora/backend/cpu/tile.hpp>
#include <qlora/core/parallel.hpp>

#if defined(QLORA_HAS_ONEDNN)
#include <qlora/backend/cpu/onednn_products.hpp>
#endif

namespace qlora::inline v1::backend {

#if defined(QLORA_HAS_ONEDNN)
using BestProducts = OneDnnProducts;
#else
using BestProducts = EigenProducts;
#endif

namespace detail {
/// Finds the free function `dequantize` of a quantized weight, which the member of that name hides.
template <class Weight, class T>
void expand(Weight const& weight, Matrix<T> y) {
  dequantize(weight, y);
}
}  // namespace detail

/// What computes between the products: the loops of `cpu/*.hpp`, which define the results, or
/// those of `cpu/simd/`. There are none of the latter for double.
enum class Loops { reference, vectorised };

/// `Products` multiplies one tile on one thread; `T` is what activations are stored and multiplied
/// in.
template <class Products = BestProducts, ComputeType T = float, Loops L = Loops::vectorised>
class Cpu {
 public:
  using Compute = T;
  using Accumulator = Accumulate<T>;
  using A = Accumulator;
  static constexpr Space space = Space::host;

  // ---- products with frozen weights

  template <class Weight>
  void dequantize(Weight const& weight, Matrix<T> y) {
    detail::expand(weight, y);
  }

  static constexpr int panels = 1;
  template <class Weights, class Use>
  void expanded(Weights const& weights, Vector<T> memory, Use&& use) {
    auto const rows = weights.front().rows();
    auto const count = static_cast<Index>(weights.size());
    auto const panel = Matrix<T>{memory.data(), {count * rows, weights.front().columns()}};
    for (auto i = Index{0}; i < count; ++i) {
      dequantize(weights[static_cast<std::size_t>(i)], panel.slice(i * rows, rows));
    }
    use(Matrix<T const>{panel});
  }

  template <class U>
  void linear(Matrix<T const> x, Matrix<T const> w, Vector<A const> bias, Matrix<U> y,
              Write write) {
    expect_shape(w, {y.columns(), x.columns()}, "linear: weight");
    expect_shape(y, {x.rows(), w.rows()}, "linear: output");
    for_each_tile(x.rows(), Products::template row_multiple<T>(), [&](Rows rows) {
      products_.multiply_transposed(x.slice(rows.first, rows.count), w, bias,
                                    y.slice(rows.first, rows.count), write);
    });
  }

  template <class U>
  void linear_backward(Matrix<T const> dy, Matrix<T const> w, Matrix<U> dx, Write write) {
    expect_shape(w, {dy.columns(), dx.columns()}, "linear_backward: weight");
    expect_shape(dx, {dy.rows(), w.columns()}, "linear_backward: input gradient");
    for_each_tile(dy.rows(), Products::template row_multiple<T>(), [&](Rows rows) {
      products_.multiply(dy.slice(rows.first, rows.count), w, dx.slice(rows.first, rows.count),
                         write);
    });
  }

  // ---- skinny products with trained parameters

  template <class U>
  void lora_project(Matrix<U const> x, Matrix<A const> a, LoraInput const& input,
                    Packing<space> const& packing, Matrix<A> h) {
    expect_shape(a, {h.columns(), x.columns()}, "lora_project: a");
    expect_shape(h, {x.rows(), a.rows()}, "lora_project: output");
    for_each_tile(x.rows(), simd::row_multiple, [&](Rows rows) {
      if constexpr (vectorised) {
        simd::kernels<U>().lora_project(lora_tile(x, a, input, packing, rows), strided(x, rows),
                                        strided(a), lora_scratch(x.columns(), a.rows()),
                                        strided(h, rows));
      } else {
        reference::lora_project_rows(x, a, input, packing, rows, h);
      }
    });
  }

  template <class U, class V>
  void lora_project_backward(Matrix<U const> x, Matrix<A const> a, LoraInput const& input,
                             Packing<space> const& packing, Matrix<A const> dh, Matrix<V> dx,
                             Matrix<A> da) {
    expect_shape(dh, {x.rows(), a.rows()}, "lora_project_backward: output gradient");
    expect_shape(da, a.extents(), "lora_project_backward: parameter gradient");
    pieces_.reduce_rows(x.rows(), da, [&](Rows rows, Matrix<A> sum) {
      if constexpr (vectorised) {
        auto const& loops = simd::kernels<U>();
        auto const run = [&](auto kernel) {
          kernel(lora_tile(x, a, input, packing, rows), strided(x, rows), strided(a),
                 strided(dh, rows), lora_scratch(x.columns(), a.rows()), strided(dx, rows),
                 strided(sum));
        };
        if constexpr (std::same_as<V, A>) {
          run(loops.lora_project_backward);
        } else {
          run(loops.lora_project_backward_rounded);
        }
      } else {
        reference::lora_project_backward_rows(x, a, input, packing, dh, rows, dx, sum);
      }
    });
  }

  template <class U>
  void lora_expand(Matrix<A const> h, Matrix<A const> b, A scale, Matrix<U> y) {
    expect_shape(b, {y.columns(), h.columns()}, "lora_expand: b");
    for_each_tile(y.rows(), simd::row_multiple, [&](Rows rows) {
      if constexpr (vectorised) {
        simd::kernels<U>().lora_expand({rows.count, y.columns(), h.columns(), scale},
                                       strided(h, rows), strided(b),
                                       lora_scratch(y.columns(), h.columns()), strided(y, rows));
      } else {
        reference::lora_expand_rows(h, b, scale, rows, y);
      }
    });
  }

  template <class U>
  void lora_expand_backward(Matrix<A const> h, Matrix<A const> b, A scale, Matrix<U const> dy,
                            Matrix<A> dh, Matrix<A> db) {
    expect_shape(db, b.extents(), "lora_expand_backward: parameter gradient");
    pieces_.reduce_rows(dy.rows(), db, [&](Rows rows, Matrix<A> sum) {
      if constexpr (vectorised) {
        simd::kernels<U>().lora_expand_backward({rows.count, dy.columns(), h.columns(), scale},
                                                strided(h, rows), strided(b), strided(dy, rows),
                                                lora_scratch(dy.columns(), h.columns()),
                                                strided(dh, rows), strided(sum));
      } else {
        reference::lora_expand_backward_rows(h, b, scale, dy, rows, dh, sum);
      }
    });
  }

  // ---- between the products

  void embed(Vector<std::int32_t const> ids, A scale, Matrix<A const> table, Matrix<A> y) {
    expect_shape(y, {ids.size(), table.columns()}, "embed: output");
    for_each_tile(y.rows(), simd::row_multiple, [&](Rows rows) {
      for (auto i = rows.first; i < rows.first + rows.count; ++i) {
        for (auto c = Index{0}; c < y.columns(); ++c) y(i, c) = scale * table(ids[i], c);
      }
    });
  }

  template <class U>
  void layer_norm(Matrix<A const> x, Vector<A const> gamma, Vector<A const> beta, A epsilon,
                  Matrix<U> y, Matrix<A> stats) {
    expect_shape(y, x.extents(), "layer_norm: output");
    expect_shape(stats, {x.rows(), 2}, "layer_norm: stats");
    for_each_row(x.rows(), [&](Index i) {
      if constexpr (vectorised) {
        simd::kernels<U>().layer_norm(x.row(i).data(), gamma.data(), beta.data(), epsilon,
                                      x.columns(), y.row(i).data(), stats.row(i).data());
      } else {
        reference::layer_norm_row(x.row(i), gamma, beta, epsilon, y.row(i), stats.row(i));
      }
    });
  }

  void layer_norm_backward(Matrix<A const> dy, Matrix<A const> x, Vector<A const> gamma,
                           Matrix<A const> stats, Matrix<A> dx) {
    expect_shape(dy, x.extents(), "layer_norm_backward: output gradient");
    expect_shape(dx, x.extents(), "layer_norm_backward: input gradient");
    for_each_row(x.rows(), [&](Index i) {
      if constexpr (vectorised) {
        simd::kernels<A>().layer_norm_backward(dy.row(i).data(), x.row(i).data(), gamma.data(),
                                               stats.row(i).data(), x.columns(), dx.row(i).data());
      } else {
        reference::layer_norm_backward_row(dy.row(i), x.row(i), gamma, stats.row(i), dx.row(i));
      }
    });
  }

  void gelu(Matrix<T const> u, Matrix<T> g) {
    expect_shape(g, u.extents(), "gelu: output");
    for_each_row(u.rows(), [&](Index i) {
      if constexpr (vectorised) {
        simd::kernels<T>().gelu(u.row(i).data(), u.columns(), g.row(i).data());
      } else {
        reference::gelu_row(u.row(i), g.row(i));
      }
    });
  }

  void gelu_backward(Matrix<T const> u, Matrix<T const> dg, Matrix<T> du) {
    expect_shape(dg, u.extents(), "gelu_backward: output gradient");
    expect_shape(du, u.extents(), "gelu_backward: input gradient");
    for_each_row(u.rows(), [&](Index i) {
      if constexpr (vectorised) {
        simd::kernels<T>().gelu_backward(u.row(i).data(), dg.row(i).data(), u.columns(),
                                         du.row(i).data());
      } else {
        reference::gelu_backward_row(u.row(i), dg.row(i), du.row(i));
      }
    });
  }

  void rotary(Matrix<T> x, Index heads, Packing<space> const& packing, A scale, Rotation rotation) {
    rotary_.cover(packing.longest, x.columns() / heads);
    for_each_row(x.rows(), [&](Index i) {
      if (i + 1 < x.rows()) prefetch(x.row(i + 1));
      auto const position = packing.positions[i];
      auto const* const cosines = rotary_.cosines(position);
      auto const* const sines = rotary_.sines(position);
      if constexpr (vectorised) {
        simd::kernels<T>().rotary(x.row(i).data(), heads, x.columns() / heads / 2, cosines, sines,
                                  scale, rotation == Rotation::forward ? 1.f : -1.f);
      } else {
        reference::rotary_row(x.row(i), heads, cosines, sines, scale, rotation);
      }
    });
  }

  void attention(Matrix<T const> q, Matrix<T const> k, Matrix<T const> v, Index heads,
                 Packing<space> const& packing, Matrix<T> out, Matrix<A> lse) {
    expect_shape(lse, {heads, q.rows()}, "attention: lse");
    pieces_.template for_each_head<T>(
        q.columns(), heads, packing, attention_scratch(q, heads, packing),
        [&](Rows rows, Rows part, Index head, A* scratch) {
          auto const of = [&](auto x) { return cut(x, rows, part); };
          auto const head_lse = lse.row(head).slice(rows.first, rows.count);
          if constexpr (vectorised) {
            simd::kernels<T>().attention(strided(of(q)), strided(of(k)), strided(of(v)), rows.count,
                                         part.count, scratch, strided(of(out)), head_lse.data());
          } else {
            reference::attention_head(of(q), of(k), of(v), scratch, of(out), head_lse);
          }
        });
  }

  void attention_backward(Matrix<T const> q, Matrix<T const> k, Matrix<T const> v, Index heads,
                          Packing<space> const& packing, Matrix<T const> out, Matrix<T const> dout,
                          Matrix<A const> lse, Matrix<T> dq, Matrix<T> dk, Matrix<T> dv) {
    expect_shape(lse, {heads, q.rows()}, "attention_backward: lse");
    pieces_.template for_each_head<T>(
        q.columns(), heads, packing, attention_scratch(q, heads, packing),
        [&](Rows rows, Rows part, Index head, A* scratch) {
          auto const of = [&](auto x) { return cut(x, rows, part); };
          auto const head_lse = lse.row(head).slice(rows.first, rows.count);
          if constexpr (vectorised) {
            simd::kernels<T>().attention_backward(
                strided(of(q)), strided(of(k)), strided(of(v)), strided(of(out)), strided(of(dout)),
                head_lse.data(), rows.count, part.count, scratch, strided(of(dq)), strided(of(dk)),
                strided(of(dv)));
          } else {
            reference::attention_head_backward(of(q), of(k), of(v), of(out), of(dout), head_lse,
                                               scratch, of(dq), of(dk), of(dv));
          }
        });
  }

  // ---- the ends of the backward pass

  TokenBatch<space> stage(TokenBatch<space> const& batch) { return batch; }

  void copy(Matrix<A const> x, Matrix<A> y) {
    expect_shape(y, x.extents(), "copy: output");
    for_each_row(x.rows(),
                 [&](Index i) { std::copy_n(x.row(i).data(), x.columns(), y.row(i).data()); });
  }

  void clear(Vector<A> v) { std::fill(v.begin(), v.end(), A{0}); }

  void round(Matrix<A const> x, Matrix<T> y) {
    expect_shape(y, x.extents(), "round: output");
    for_each_row(x.rows(), [&](Index i) {
      if constexpr (vectorised) {
        simd::kernels<T>().narrow(x.row(i).data(), x.columns(), y.row(i).data());
      } else {
        for (auto c = Index{0}; c < x.columns(); ++c) y(i, c) = convert<T>(x(i, c));
      }
    });
  }

  void add_bias(Vector<A const> bias, Matrix<A> y) {
    expect_shape(bias, {y.columns()}, "add_bias: bias");
    for_each_row(y.rows(), [&](Index i) {
      for (auto c = Index{0}; c < y.columns(); ++c) y(i, c) += bias[c];
    });
  }

  void sum_rows(Matrix<A const> x, Vector<A> sum) {
    expect_shape(sum, {x.columns()}, "sum_rows: output");
    pieces_.reduce_rows(x.rows(), Matrix<A>{sum.data(), {1, sum.size()}},
                        [&](Rows rows, Matrix<A> part) {
                          for (auto i = rows.first; i < rows.first + rows.count; ++i) {
                            for (auto c = Index{0}; c < x.columns(); ++c) part(0, c) += x(i, c);
                          }
                        });
  }

  /// What was read is there at once.
  class Reading {
   public:
    StepNumbers wait() const { return numbers_; }

   private:
    friend class Cpu;
    StepNumbers numbers_{};
  };
  static constexpr bool asynchronous = false;

  struct Repeats {};
  template <class Body>
  void repeat(Repeats&, BatchShape const&, Body&& body) {
    body();
  }

  void begin_step(Vector<StepNumbers> numbers) { numbers[0].loss = 0.; }

  void cross_entropy(Matrix<A const> logits, Vector<std::int32_t const> labels,
                     std::array<double, 2> class_weights, double scale, Matrix<A> dlogits,
                     Vector<StepNumbers> numbers) {
    expect_shape(logits, {labels.size(), 2}, "cross_entropy: logits");
    expect_shape(dlogits, logits.extents(), "cross_entropy: gradient");
    auto loss = 0.;
    for (auto i = Index{0}; i < labels.size(); ++i) {
      auto const label = labels[i];
      if (label == ignored_label) {
        dlogits(i, 0) = dlogits(i, 1) = A{0};
        continue;
      }
      loss += reference::cross_entropy_row(logits.row(i), label,
                                           class_weights[static_cast<std::size_t>(label)], scale,
                                           dlogits.row(i));
    }
    numbers[0].loss += loss;
  }

  void squared_norm(Vector<A const> v, Vector<StepNumbers> numbers) {
    auto sum = 0.;
    for (auto const value : v) sum += static_cast<double>(value) * static_cast<double>(value);
    numbers[0].squared_norm = sum;
  }

  void count_update(Vector<StepNumbers> numbers) {
    if (numbers[0].finite()) ++numbers[0].updates;
  }

  void adamw(Vector<A> parameters, Vector<A const> gradients, Vector<A> first, Vector<A> second,
             AdamWStep const& options, Vector<StepNumbers const> numbers) {
    expect_shape(gradients, parameters.extents(), "adamw: gradients");
    auto const step = formula::AdamW<A>{options, numbers[0]};
    if (!step.finite) return;
    parallel_rows(parameters.size(), parameters_of_piece, [&](Rows piece, int) {
      auto const of = [&](auto all) { return all.slice(piece.first, piece.count); };
      reference::adamw(of(parameters), of(gradients), of(first), of(second), step);
    });
  }

  void read(Vector<StepNumbers const> numbers, Reading& reading) { reading.numbers_ = numbers[0]; }

 private:
  static constexpr bool vectorised = L == Loops::vectorised && !std::same_as<A, double>;

  template <class E>
  static simd::Strided<E> strided(Matrix<E> x) {
    return {x.data(), x.stride()};
  }
  template <class E>
  static simd::Strided<E> strided(Matrix<E> x, Rows rows) {
    return x.data() == nullptr ? simd::Strided<E>{}
                               : strided(Matrix<E>{x.slice(rows.first, rows.count)});
  }
  template <class U>
  static simd::LoraTile lora_tile(Matrix<U const> x, Matrix<A const> a, LoraInput const& input,
                                  Packing<space> const& packing, Rows rows) {
    return {.rows = rows.count,
            .columns = x.columns(),
            .targets = input.targets,
            .rank = a.rows() / input.targets,
            .dropout = input.dropout,
            .first_site = input.first_site,
            .samples = packing.samples.data() + rows.first,
            .positions = packing.positions.data() + rows.first};
  }
  static float* lora_scratch(Index columns, Index ranks) {
    return tile::scratch<float>(tile::Slot::loops, 1, simd::lora_scratch(columns, ranks)).data();
  }

  /// Rows of a part of a wider matrix lie apart, which processors do not foresee.
  template <class E>
  static void prefetch(Vector<E> row) {
    auto const* const bytes = reinterpret_cast<char const*>(row.data());
    auto const size = row.size() * static_cast<Index>(sizeof(E));
    constexpr auto line = Index{64};
    for (auto at = Index{0}; at < size; at += line) __builtin_prefetch(bytes + at, 1);
  }

  /// Numbers of scratch for the longest sequence.
  static Index attention_scratch(Matrix<T const> q, Index heads, Packing<space> const& packing) {
    auto const head_dim = q.columns() / heads;
    return vectorised ? simd::attention_scratch(packing.longest, head_dim)
                      : reference::attention_scratch(packing.longest, head_dim);
  }

  template <class E>
  static Matrix<E> cut(Matrix<E> x, Rows rows, Rows columns) {
    return x.slice(rows.first, rows.count).columns(columns.first, columns.count);
  }

  Products products_;
  RotaryTable<A> rotary_;
  Pieces<A> pieces_;
};

}  // namespace qlora::inline v1::backend
