/// Quantizing and expanding a whole matrix: the largest of the 650M model, which no cache of a core
/// holds, and smaller ones that fit.
#include <cstddef>
#include <span>

#include <benchmark/benchmark.h>

#include <qlora/core/random.hpp>
#include <qlora/quant/dequantize.hpp>
#include <qlora/quant/fp4.hpp>
#include <qlora/quant/full.hpp>
#include <qlora/quant/int8.hpp>
#include <qlora/quant/nf4.hpp>
#include <qlora/quant/quantize.hpp>

namespace {
using namespace qlora;

MatrixTensor<float> normal(Index rows, Index columns) {
  auto x = MatrixTensor<float>{{rows, columns}};
  fill_normal(std::span{x.data(), static_cast<std::size_t>(x.size())}, {.seed = 1}, 1.f);
  return x;
}

void finish(benchmark::State& state, Index elements) {
  state.counters["elements/s"] = benchmark::Counter(static_cast<double>(elements),
                                                    benchmark::Counter::kIsIterationInvariantRate);
}

template <class S>
void quantize_matrix(benchmark::State& state) {
  auto const x = normal(state.range(0), state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(quantize(S{}, x));
  finish(state, x.size());
}

template <class S, class T>
void dequantize_matrix(benchmark::State& state) {
  auto const matrix = quantize(S{}, normal(state.range(0), state.range(1)));
  auto const out = MatrixTensor<T>{{matrix.rows(), matrix.columns()}};
  for (auto _ : state) dequantize(matrix, out.view());
  finish(state, matrix.size());
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->Args({256, 256})->Args({320, 320})->Args({5120, 1280})->UseRealTime();
}

BENCHMARK_TEMPLATE(quantize_matrix, Nf4<64>)->Apply(shapes);
BENCHMARK_TEMPLATE(quantize_matrix, Fp4<64>)->Apply(shapes);
BENCHMARK_TEMPLATE(quantize_matrix, Int8)->Apply(shapes);
BENCHMARK_TEMPLATE(dequantize_matrix, Nf4<64>, float)->Apply(shapes);
BENCHMARK_TEMPLATE(dequantize_matrix, Nf4<64>, bf16)->Apply(shapes);
BENCHMARK_TEMPLATE(dequantize_matrix, Fp4<64>, bf16)->Apply(shapes);
BENCHMARK_TEMPLATE(dequantize_matrix, Full<float>, bf16)->Apply(shapes);
BENCHMARK_TEMPLATE(dequantize_matrix, Int8, float)->Apply(shapes);

}  // namespace
