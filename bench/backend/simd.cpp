/// The verbs between the products and attention (and the expansion of 4-bit codes): reference loops
/// against vectorised ones, on 8 sequences of 512 tokens and the layers of the 8M, 35M and 650M
/// models; GELU on four times their width.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <qlora/backend/cpu.hpp>

#include "support/inputs.hpp"

namespace bench {
namespace {
using namespace qlora;
using backend::Loops;

constexpr auto tokens = Index{4096};

/// What every benchmark works on: a width of 20 heads.
template <class T, Loops L>
struct Layer {
  static constexpr Index heads = 20;
  static constexpr Index ranks = 3 * 2;

  explicit Layer(Index width) : width{width} {}

  Index width;
  backend::Cpu<EigenProducts, T, L> cpu{};
  EqualSequences batch{tokens, 512};
  MatrixTensor<T> q = filled<T>(tokens, width), k = filled<T>(tokens, width),
                  out = filled<T>(tokens, width);
  MatrixTensor<float> residual = filled<float>(tokens, width), dx = filled<float>(tokens, width),
                      stats = filled<float>(tokens, 2), gamma = filled<float>(1, width),
                      a = filled<float>(ranks, width), da = filled<float>(ranks, width),
                      h = filled<float>(tokens, ranks), b = filled<float>(width, ranks),
                      db = filled<float>(width, ranks);
  LoraInput input{.targets = 3, .first_site = 0, .dropout = {.probability = .5f, .seed = 1}};

  void finish(benchmark::State& state) const {
    state.SetItemsProcessed(state.iterations() * tokens);
    state.SetLabel(std::to_string(tokens) + " tokens x " + std::to_string(width));
  }
};

template <class T, Loops L>
void gelu(benchmark::State& state) {
  auto x = Layer<T, L>{4 * Index{state.range(0)}};
  for (auto _ : state) x.cpu.gelu(x.q, x.out);
  x.finish(state);
}

template <class T, Loops L>
void gelu_backward(benchmark::State& state) {
  auto x = Layer<T, L>{4 * Index{state.range(0)}};
  for (auto _ : state) x.cpu.gelu_backward(x.q, x.k, x.out);
  x.finish(state);
}

template <class T, Loops L>
void layer_norm(benchmark::State& state) {
  auto x = Layer<T, L>{state.range(0)};
  auto const gamma = x.gamma.view().row(0);
  for (auto _ : state) {
    x.cpu.template layer_norm<T>(x.residual, gamma, gamma, 1e-5f, x.out, x.stats);
  }
  x.finish(state);
}

template <class T, Loops L>
void layer_norm_backward(benchmark::State& state) {
  auto x = Layer<T, L>{state.range(0)};
  for (auto _ : state) {
    std::fill_n(x.dx.data(), x.dx.size(), 0.f);
    x.cpu.layer_norm_backward(x.residual, x.residual, x.gamma.view().row(0), x.stats, x.dx);
  }
  x.finish(state);
}

template <class T, Loops L>
void rotary(benchmark::State& state) {
  auto x = Layer<T, L>{state.range(0)};
  for (auto _ : state) x.cpu.rotary(x.q, x.heads, x.batch.packing(), 1.f, Rotation::forward);
  x.finish(state);
}

template <class T, Loops L>
void lora_project(benchmark::State& state) {
  auto x = Layer<T, L>{state.range(0)};
  for (auto _ : state) {
    x.cpu.template lora_project<T>(x.q, x.a, x.input, x.batch.packing(), x.h);
  }
  x.finish(state);
}

template <class T, Loops L>
void lora_project_backward(benchmark::State& state) {
  auto x = Layer<T, L>{state.range(0)};
  for (auto _ : state) {
    std::fill_n(x.dx.data(), x.dx.size(), 0.f);
    x.cpu.template lora_project_backward<T, float>(x.q, x.a, x.input, x.batch.packing(), x.h, x.dx,
                                                   x.da);
  }
  x.finish(state);
}

template <class T, Loops L>
void lora_expand(benchmark::State& state) {
  auto x = Layer<T, L>{state.range(0)};
  for (auto _ : state) x.cpu.template lora_expand<T>(x.h, x.b, 1e-6f, x.out);
  x.finish(state);
}

template <class T, Loops L>
void lora_expand_backward(benchmark::State& state) {
  auto x = Layer<T, L>{state.range(0)};
  for (auto _ : state) x.cpu.template lora_expand_backward<T>(x.h, x.b, 1.f, x.q, x.h, x.db);
  x.finish(state);
}

/// The loss and its gradient, of all tokens.
void cross_entropy(benchmark::State& state) {
  auto cpu = backend::Cpu<EigenProducts>{};
  auto const logits = filled<float>(tokens, 2), dlogits = filled<float>(tokens, 2);
  auto labels = VectorTensor<std::int32_t>{{tokens}};
  for (auto i = Index{0}; i < tokens; ++i)
    labels.data()[i] = i % 10 == 0 ? 1 : i % 7 == 0 ? -100 : 0;
  auto numbers = VectorTensor<StepNumbers>{{1}};
  for (auto _ : state) {
    cpu.begin_step(numbers);
    cpu.cross_entropy(logits, labels, {.5, 16.4}, 1e-3, dlogits, numbers);
  }
  state.SetItemsProcessed(state.iterations() * tokens);
}

/// One update, with its gradients' norm, of so many parameters.
void adamw(benchmark::State& state) {
  auto cpu = backend::Cpu<EigenProducts>{};
  auto const count = Index{state.range(0)};
  auto const of = [&] { return filled<float>(1, count); };
  auto const parameters = of(), gradients = of(), first = of(), second = of();
  std::transform(second.data(), second.data() + count, second.data(),
                 [](float x) { return x * x; });
  auto numbers = VectorTensor<StepNumbers>{{1}};
  *numbers.data() = StepNumbers{.loss = 1., .squared_norm = 0., .updates = 100.};
  for (auto _ : state) {
    cpu.squared_norm(gradients.view().row(0), numbers);
    cpu.adamw(parameters.view().row(0), gradients.view().row(0), first.view().row(0),
              second.view().row(0), AdamWStep{.clip = 1.}, numbers);
  }
  state.SetItemsProcessed(state.iterations() * count);
}

/// NF4-like codes in blocks of 64 into a panel that stays in cache.
template <class T>
void dequantize4(benchmark::State& state) {
  auto const count = Index{1} << 16;
  auto const codes = std::vector<std::uint8_t>(static_cast<std::size_t>(count / 2), 0x5a);
  auto const scales = filled<float>(1, count / 64);
  auto const codebook = filled<float>(1, 16);
  auto const out = filled<T>(1, count);
  for (auto _ : state) {
    simd::kernels<T>().dequantize4(codes.data(), count, 64, codebook.data(), scales.data(),
                                   out.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * count);
  state.SetLabel(std::to_string(count) + " elements");
}

void widths(benchmark::internal::Benchmark* bench) {
  bench->Arg(320)->Arg(480)->Arg(1280)->UseRealTime()->MinTime(.1);
}

#define QLORA_BENCH_VERB(verb)                                       \
  BENCHMARK_TEMPLATE(verb, float, Loops::reference)->Apply(widths);  \
  BENCHMARK_TEMPLATE(verb, float, Loops::vectorised)->Apply(widths); \
  BENCHMARK_TEMPLATE(verb, bf16, Loops::vectorised)->Apply(widths)

QLORA_BENCH_VERB(gelu);
QLORA_BENCH_VERB(gelu_backward);
QLORA_BENCH_VERB(layer_norm);
QLORA_BENCH_VERB(layer_norm_backward);
QLORA_BENCH_VERB(rotary);
QLORA_BENCH_VERB(lora_project);
QLORA_BENCH_VERB(lora_project_backward);
QLORA_BENCH_VERB(lora_expand);
QLORA_BENCH_VERB(lora_expand_backward);
BENCHMARK(cross_entropy);
BENCHMARK(adamw)->Arg(1 << 14)->Arg(1 << 20);
BENCHMARK_TEMPLATE(dequantize4, float);
BENCHMARK_TEMPLATE(dequantize4, bf16);

}  // namespace
}  // namespace bench
