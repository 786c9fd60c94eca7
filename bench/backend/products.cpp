/// Frozen products: tiles of 256 rows over 4096 tokens, for the layers of the 8M, 35M, 150M and
/// 650M models.
#include <string>
#include <type_traits>

#include <benchmark/benchmark.h>

#include <qlora/backend/cpu/eigen_products.hpp>
#include <qlora/core/parallel.hpp>

#if defined(QLORA_HAS_ONEDNN)
#include <qlora/backend/cpu/onednn_products.hpp>
#endif

#include "support/inputs.hpp"

namespace bench {
namespace {
using namespace qlora;

constexpr auto tokens = Index{4096};
constexpr auto tile_rows = Index{256};

/// `multiply(rows of x, of y)` for tiles of x (tokens, depth) and y (tokens, columns).
template <class T, class U, class Body>
void measure_tiles(benchmark::State& state, Index depth, Index columns, Body const& multiply) {
  auto const x = filled<T>(tokens, depth);
  auto const y = filled<U>(tokens, columns);
  for (auto _ : state) {
    parallel_rows(tokens, tile_rows, [&](Rows rows, int) {
      multiply(Matrix<T const>{x.view().slice(rows.first, rows.count)},
               y.view().slice(rows.first, rows.count));
    });
  }
  state.counters["FLOP/s"] = benchmark::Counter(static_cast<double>(2 * tokens * depth * columns),
                                                benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(std::to_string(tokens) + "x" + std::to_string(depth) + " to " +
                 std::to_string(columns));
}

/// As those that the next layer reads, and, where U is float, as those that add to the residual.
template <class Products, class T, class U = T>
void multiply_transposed(benchmark::State& state) {
  auto const in = Index{state.range(0)}, out = Index{state.range(1)};
  auto const w = filled<T>(out, in);
  auto const bias = filled<float>(1, out);
  auto products = Products{};
  auto const write = std::is_same_v<T, U> ? Write::assign : Write::accumulate;
  measure_tiles<T, U>(state, in, out, [&](Matrix<T const> x, Matrix<U> y) {
    products.template multiply_transposed<T, U>(x, w.view(), bias.view().row(0), y, write);
  });
}

template <class Products, class T>
void multiply(benchmark::State& state) {
  auto const in = Index{state.range(0)}, out = Index{state.range(1)};
  auto const w = filled<T>(out, in);
  auto products = Products{};
  measure_tiles<T, T>(state, out, in, [&](Matrix<T const> dy, Matrix<T> dx) {
    products.template multiply<T, T>(dy, w.view(), dx, Write::assign);
  });
}

void layers(benchmark::internal::Benchmark* bench) {
  for (auto const width : {320, 480, 640, 1280}) {
    bench->Args({width, 3 * width})->Args({width, width});
    bench->Args({width, 4 * width})->Args({4 * width, width});
  }
  bench->UseRealTime()->MinTime(.2);
}

BENCHMARK_TEMPLATE(multiply_transposed, EigenProducts, float)->Apply(layers);
BENCHMARK_TEMPLATE(multiply, EigenProducts, float)->Apply(layers);
#if defined(QLORA_HAS_ONEDNN)
BENCHMARK_TEMPLATE(multiply_transposed, OneDnnProducts, float)->Apply(layers);
BENCHMARK_TEMPLATE(multiply, OneDnnProducts, float)->Apply(layers);
BENCHMARK_TEMPLATE(multiply_transposed, OneDnnProducts, bf16)->Apply(layers);
BENCHMARK_TEMPLATE(multiply_transposed, OneDnnProducts, bf16, float)->Apply(layers);
BENCHMARK_TEMPLATE(multiply, OneDnnProducts, bf16)->Apply(layers);
#endif

}  // namespace
}  // namespace bench
