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

/// What every benchmark works on: a width of 20 heads, columns of stacked query, key and value
/// where a layer has those.
template <class T, Loops L>
struct Layer {
  static constexpr Index heads = 20;
  static constexpr Index targets = 3;

  explicit Layer(Index width, Index rank = 2) : width{width}, rank{rank} {}

  Index width, rank;
  backend::Cpu<EigenProducts, T, L> cpu{};
  EqualSequences batch{tokens, 512};
  MatrixTensor<T> x = filled<T>(tokens, width), dy = filled<T>(tokens, width),
                  out = filled<T>(tokens, width), qkv = filled<T>(tokens, targets*width);
  MatrixTensor<float> residual = filled<float>(tokens, width), d = filled<float>(tokens, width),
                      dx = filled<float>(tokens, width), stats = filled<float>(tokens, 2),
                      gamma = filled<float>(1, width), a = filled<float>(targets * rank, width),
                      da = filled<float>(targets * rank, width),
                      h = filled<float>(tokens, targets*rank),
                      dh = filled<float>(tokens, targets*rank), b = filled<float>(width, rank),
                      db = filled<float>(width, rank);
  LoraInput input{.targets = targets, .first_site = 0, .dropout = {.probability = .5f, .seed = 1}};

  /// Calls `body(columns of qkv, columns of h, columns of dh)` for each of the three.
  template <class Body>
  void for_each_target(Body&& body) const {
    for (auto t = Index{0}; t < targets; ++t) {
      body(qkv.view().columns(t * width, width), h.view().columns(t * rank, rank),
           dh.view().columns(t * rank, rank));
    }
  }

  void finish(benchmark::State& state) const {
    state.SetItemsProcessed(state.iterations() * tokens);
    state.SetLabel(std::to_string(tokens) + " tokens x " + std::to_string(width));
  }
};

template <class T, Loops L>
void gelu(benchmark::State& state) {
  auto l = Layer<T, L>{4 * state.range(0)};
  for (auto _ : state) l.cpu.gelu(l.x, l.out);
  l.finish(state);
}

template <class T, Loops L>
void gelu_backward(benchmark::State& state) {
  auto l = Layer<T, L>{4 * state.range(0)};
  for (auto _ : state) l.cpu.gelu_backward(l.x, l.dy, l.out);
  l.finish(state);
}

template <class T, Loops L>
void layer_norm(benchmark::State& state) {
  auto l = Layer<T, L>{state.range(0)};
  auto const gamma = l.gamma.view().row(0);
  for (auto _ : state) {
    l.cpu.template layer_norm<T>(l.residual, gamma, gamma, 1e-5f, l.out, l.stats);
  }
  l.finish(state);
}

template <class T, Loops L>
void layer_norm_backward(benchmark::State& state) {
  auto l = Layer<T, L>{state.range(0)};
  for (auto _ : state) {
    l.cpu.layer_norm_backward(l.d, l.residual, l.gamma.view().row(0), l.stats, l.dx);
  }
  l.finish(state);
}

template <class T, Loops L>
void rotary(benchmark::State& state) {
  auto l = Layer<T, L>{state.range(0)};
  auto const q = l.qkv.view().columns(0, l.width);
  for (auto _ : state) l.cpu.rotary(q, l.heads, l.batch.packing(), 1.f, Rotation::forward);
  l.finish(state);
}

template <class T, Loops L>
void lora_project(benchmark::State& state) {
  auto l = Layer<T, L>{state.range(0), state.range(1)};
  for (auto _ : state) {
    l.cpu.template lora_project<T>(l.x, l.a, l.input, l.batch.packing(), l.h);
  }
  l.finish(state);
}

template <class T, Loops L>
void lora_project_backward(benchmark::State& state) {
  auto l = Layer<T, L>{state.range(0), state.range(1)};
  for (auto _ : state) {
    l.cpu.template lora_project_backward<T, float>(l.x, l.a, l.input, l.batch.packing(), l.dh, l.dx,
                                                   l.da);
  }
  l.finish(state);
}

template <class T, Loops L>
void lora_expand(benchmark::State& state) {
  auto l = Layer<T, L>{state.range(0), state.range(1)};
  for (auto _ : state) {
    l.for_each_target(
        [&](auto y, auto h, auto) { l.cpu.template lora_expand<T>(h, l.b, 1e-6f, y); });
  }
  l.finish(state);
}

template <class T, Loops L>
void lora_expand_backward(benchmark::State& state) {
  auto l = Layer<T, L>{state.range(0), state.range(1)};
  for (auto _ : state) {
    l.for_each_target([&](auto dy, auto h, auto dh) {
      l.cpu.template lora_expand_backward<T>(h, l.b, 1.f, dy, dh, l.db);
    });
  }
  l.finish(state);
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

/// NF4-like codes in blocks of 64 into a panel that stays in cache, one a thread.
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
void widths_and_ranks(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{320, 480, 1280}, {2, 16}})->UseRealTime()->MinTime(.1);
}

#define QLORA_BENCH_VERB(verb, sizes)                               \
  BENCHMARK_TEMPLATE(verb, float, Loops::reference)->Apply(sizes);  \
  BENCHMARK_TEMPLATE(verb, float, Loops::vectorised)->Apply(sizes); \
  BENCHMARK_TEMPLATE(verb, bf16, Loops::vectorised)->Apply(sizes)

QLORA_BENCH_VERB(gelu, widths);
QLORA_BENCH_VERB(gelu_backward, widths);
QLORA_BENCH_VERB(layer_norm, widths);
QLORA_BENCH_VERB(layer_norm_backward, widths);
QLORA_BENCH_VERB(rotary, widths);
QLORA_BENCH_VERB(lora_project, widths_and_ranks);
QLORA_BENCH_VERB(lora_project_backward, widths_and_ranks);
QLORA_BENCH_VERB(lora_expand, widths_and_ranks);
QLORA_BENCH_VERB(lora_expand_backward, widths_and_ranks);
BENCHMARK(cross_entropy)->UseRealTime();
BENCHMARK(adamw)->Arg(1 << 14)->Arg(1 << 20)->UseRealTime();
BENCHMARK_TEMPLATE(dequantize4, float)->ThreadRange(1, 2)->UseRealTime();
BENCHMARK_TEMPLATE(dequantize4, bf16)->ThreadRange(1, 2)->UseRealTime();

}  // namespace
}  // namespace bench
