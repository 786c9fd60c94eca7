/// Frozen products: tiles of 256 rows over 4096 tokens, for the layers of the 8M, 35M, 150M and
/// 650M models.
#include <string>

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

template <class Products, class T>
void multiply_transposed(benchmark::State& state) {
  auto const in = Index{state.range(0)};
  auto const out = Index{state.range(1)};
  auto const x = filled<T>(tokens, in);
  auto const w = filled<T>(out, in);
  auto const y = filled<T>(tokens, out);
  auto products = Products{};
  for (auto _ : state) {
    parallel_rows(tokens, tile_rows, [&](Rows rows, int) {
      products.template multiply_transposed<T, T>(x.view().slice(rows.first, rows.count), w.view(),
                                                  {}, y.view().slice(rows.first, rows.count),
                                                  Write::assign);
    });
  }
  state.counters["FLOP/s"] = benchmark::Counter(static_cast<double>(2 * tokens * in * out),
                                                benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(std::to_string(tokens) + "x" + std::to_string(in) + " to " + std::to_string(out));
}

template <class Products, class T>
void multiply(benchmark::State& state) {
  auto const in = Index{state.range(0)};
  auto const out = Index{state.range(1)};
  auto const dy = filled<T>(tokens, out);
  auto const w = filled<T>(out, in);
  auto const dx = filled<T>(tokens, in);
  auto products = Products{};
  for (auto _ : state) {
    parallel_rows(tokens, tile_rows, [&](Rows rows, int) {
      products.template multiply<T, T>(dy.view().slice(rows.first, rows.count), w.view(),
                                       dx.view().slice(rows.first, rows.count), Write::assign);
    });
  }
  state.counters["FLOP/s"] = benchmark::Counter(static_cast<double>(2 * tokens * in * out),
                                                benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(std::to_string(tokens) + "x" + std::to_string(out) + " back to " +
                 std::to_string(in));
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
BENCHMARK_TEMPLATE(multiply, OneDnnProducts, bf16)->Apply(layers);
#endif

}  // namespace
}  // namespace bench
