/// Attention of 20 heads over 4,096 tokens, by the width of a head (16, 24, 32 and 64 are those of
/// the 8M, 35M, 150M and 650M models) and the length of a sequence. The backward pass counts twice
/// the products of the forward one.
#include <string>

#include <benchmark/benchmark.h>

#include <qlora/backend/cpu.hpp>

#include "support/inputs.hpp"

namespace bench {
namespace {
using namespace qlora;
using backend::Loops;

constexpr auto tokens = Index{4096};
constexpr auto heads = Index{20};

template <class T, Loops L>
struct Heads {
  explicit Heads(benchmark::State const& state)
      : width{heads * state.range(0)}, batch{tokens, state.range(1)} {
    cpu.attention(q, k, v, heads, batch.packing(), out, lse);
  }

  void finish(benchmark::State& state, Index passes) const {
    auto const flops = passes * 4 * tokens * state.range(1) * width;
    state.counters["FLOP/s"] = benchmark::Counter(static_cast<double>(flops),
                                                  benchmark::Counter::kIsIterationInvariantRate);
  }

  Index width;
  EqualSequences batch;
  backend::Cpu<EigenProducts, T, L> cpu{};
  MatrixTensor<T> q = filled<T>(tokens, width), k = filled<T>(tokens, width),
                  v = filled<T>(tokens, width), out = filled<T>(tokens, width),
                  dout = filled<T>(tokens, width), dq = filled<T>(tokens, width),
                  dk = filled<T>(tokens, width), dv = filled<T>(tokens, width);
  MatrixTensor<float> lse = filled<float>(heads, tokens);
};

template <class T, Loops L>
void attention(benchmark::State& state) {
  auto x = Heads<T, L>{state};
  for (auto _ : state) x.cpu.attention(x.q, x.k, x.v, heads, x.batch.packing(), x.out, x.lse);
  x.finish(state, 1);
}

template <class T, Loops L>
void attention_backward(benchmark::State& state) {
  auto x = Heads<T, L>{state};
  for (auto _ : state) {
    x.cpu.attention_backward(x.q, x.k, x.v, heads, x.batch.packing(), x.out, x.dout, x.lse, x.dq,
                             x.dk, x.dv);
  }
  x.finish(state, 2);
}

void one_shape(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"head_dim", "length"})->Args({16, 512})->UseRealTime()->MinTime(.1);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"head_dim", "length"})
      ->ArgsProduct({{16, 24, 32, 64}, {64, 256, 512, 1024, 4096}})
      ->UseRealTime()
      ->MinTime(.1);
}

BENCHMARK_TEMPLATE(attention, float, Loops::reference)->Apply(one_shape);
BENCHMARK_TEMPLATE(attention, float, Loops::vectorised)->Apply(shapes);
BENCHMARK_TEMPLATE(attention, bf16, Loops::vectorised)->Apply(shapes);
BENCHMARK_TEMPLATE(attention_backward, float, Loops::reference)->Apply(one_shape);
BENCHMARK_TEMPLATE(attention_backward, float, Loops::vectorised)->Apply(shapes);
BENCHMARK_TEMPLATE(attention_backward, bf16, Loops::vectorised)->Apply(shapes);

}  // namespace
}  // namespace bench
