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
    forward();
  }

  void forward() {
    cpu.attention(part(qkv, 0), part(qkv, 1), part(qkv, 2), heads, batch.packing(), out, lse);
  }
  void backward() {
    cpu.attention_backward(part(qkv, 0), part(qkv, 1), part(qkv, 2), heads, batch.packing(), out,
                           dout, lse, part(d_qkv, 0), part(d_qkv, 1), part(d_qkv, 2));
  }
  void finish(benchmark::State& state, Index passes) const {
    auto const flops = passes * 4 * tokens * state.range(1) * width;
    state.counters["FLOP/s"] = benchmark::Counter(static_cast<double>(flops),
                                                  benchmark::Counter::kIsIterationInvariantRate);
  }

 private:
  /// Of stacked queries, keys and values, as a layer has them.
  Matrix<T, Space::host> part(MatrixTensor<T> const& stacked, Index i) const {
    return stacked.view().columns(i * width, width);
  }

  Index width;
  EqualSequences batch;
  backend::Cpu<EigenProducts, T, L> cpu{};
  MatrixTensor<T> qkv = filled<T>(tokens, 3 * width), d_qkv = filled<T>(tokens, 3 * width),
                  out = filled<T>(tokens, width), dout = filled<T>(tokens, width);
  MatrixTensor<float> lse = filled<float>(heads, tokens);
};

template <class T, Loops L>
void attention(benchmark::State& state) {
  auto x = Heads<T, L>{state};
  for (auto _ : state) x.forward();
  x.finish(state, 1);
}

template <class T, Loops L>
void attention_backward(benchmark::State& state) {
  auto x = Heads<T, L>{state};
  for (auto _ : state) x.backward();
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
