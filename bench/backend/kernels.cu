/// The CUDA backend's kernels, one benchmark each, at 16,384 tokens in sequences of 1,024: what
/// they read and write a second, or how much they compute.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include <qlora/backend/cuda.cuh>
#include <qlora/backend/cuda/quantize.cuh>
#include <qlora/core/random.hpp>
#include <qlora/quant/fp4.hpp>
#include <qlora/quant/int8.hpp>
#include <qlora/quant/nf4.hpp>

#ifdef QLORA_HAS_CUDNN
#include <qlora/backend/cuda/attention_cudnn.cuh>
#endif

#include "support/measure.hpp"

namespace {
using namespace qlora;

constexpr auto device = Space::device;
constexpr auto tokens = Index{16'384};
constexpr auto length = Index{1'024};
template <class T>
using B = backend::Cuda<T>;

template <class T>
MatrixTensor<T, device> filled(Index rows, Index columns) {
  // A million numbers again and again: to draw them takes longer than any kernel.
  static auto const drawn = [] {
    auto random = RandomSequence{{.seed = 1}};
    auto values = std::vector<float>((1 << 20) + 7);
    for (auto& value : values) value = random.uniform() - .5f;
    return values;
  }();
  auto x = MatrixTensor<T>{{rows, columns}};
  for (auto i = Index{0}; i < x.size(); ++i) {
    x.data()[i] = convert<T>(drawn[static_cast<std::size_t>(i) % drawn.size()]);
  }
  return moved_to<device>(std::move(x));
}
template <class T>
Vector<T, device> flat(MatrixTensor<T, device> const& x) {
  return {x.data(), {x.size()}};
}

/// A packed batch.
struct Batch {
  Batch() {
    auto offsets = VectorTensor<std::int32_t>{{tokens / length + 1}};
    auto positions = VectorTensor<std::int32_t>{{tokens}};
    auto samples = VectorTensor<std::uint32_t>{{tokens}};
    for (auto i = Index{0}; i < offsets.size(); ++i) {
      offsets.data()[i] = static_cast<std::int32_t>(i * length);
    }
    for (auto i = Index{0}; i < tokens; ++i) {
      positions.data()[i] = static_cast<std::int32_t>(i % length);
      samples.data()[i] = static_cast<std::uint32_t>(i / length);
    }
    offsets_ = moved_to<device>(std::move(offsets));
    positions_ = moved_to<device>(std::move(positions));
    samples_ = moved_to<device>(std::move(samples));
  }
  Packing<device> packing() const { return {offsets_, positions_, samples_, length}; }

 private:
  VectorTensor<std::int32_t, device> offsets_, positions_;
  VectorTensor<std::uint32_t, device> samples_;
};

/// Several in a row, since most kernels take less time than their launch.
template <class Backend, class Body>
void measure(benchmark::State& state, Backend& backend, Body&& body) {
  constexpr auto queued = 20;
  bench::measure(state, backend, body, queued);
}

void count(benchmark::State& state, char const* what, double amount) {
  state.counters[what] = benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
}
void count_bytes(benchmark::State& state, Index bytes) {
  count(state, "B/s", static_cast<double>(bytes));
}

// ---- frozen weights: (5120, 1280), the largest of the 650M model

constexpr auto rows = Index{5120};
constexpr auto columns = Index{1280};

template <class S, class T>
void dequantize_weight(benchmark::State& state) {
  auto backend = B<T>{};
  auto const x = filled<float>(rows, columns);
  auto const weight = cuda::quantize(S{}, Matrix<float const, device>{x.view()}, backend.stream());
  auto const out = MatrixTensor<T, device>{{rows, columns}};
  measure(state, backend, [&] { backend.dequantize(weight, out.view()); });
  count_bytes(state, weight.bytes() + out.size() * Index{sizeof(T)});
}
BENCHMARK_TEMPLATE(dequantize_weight, Nf4<64>, bf16)->UseManualTime();
BENCHMARK_TEMPLATE(dequantize_weight, Nf4<64>, float)->UseManualTime();
BENCHMARK_TEMPLATE(dequantize_weight, Fp4<64>, bf16)->UseManualTime();
BENCHMARK_TEMPLATE(dequantize_weight, Int8, bf16)->UseManualTime();

template <class S>
void quantize_weight(benchmark::State& state) {
  auto backend = B<float>{};
  auto const x = filled<float>(rows, columns);
  auto bytes = Index{0};
  measure(state, backend, [&] {
    bytes = cuda::quantize(S{}, Matrix<float const, device>{x.view()}, backend.stream()).bytes();
  });
  count_bytes(state, bytes + x.size() * Index{sizeof(float)});
}
BENCHMARK_TEMPLATE(quantize_weight, Nf4<64>)->UseManualTime();
BENCHMARK_TEMPLATE(quantize_weight, Int8)->UseManualTime();

/// The ceiling of all that is not a product; larger than the cache.
void copy_device(benchmark::State& state) {
  auto backend = B<float>{};
  auto const from = filled<float>(8 * rows, columns);
  auto const to = MatrixTensor<float, device>{{8 * rows, columns}};
  measure(state, backend, [&] {
    cuda::copy(Matrix<float const, device>{from.view()}, to.view(), backend.stream());
  });
  count_bytes(state, 2 * from.size() * Index{sizeof(float)});
}
BENCHMARK(copy_device)->UseManualTime();

// ---- products

template <class T>
void linear(benchmark::State& state) {
  auto backend = B<T>{};
  auto const in = Index{state.range(0)};
  auto const out = Index{state.range(1)};
  auto const x = filled<T>(tokens, in);
  auto const w = filled<T>(out, in);
  auto const bias = filled<float>(1, out);
  auto const y = MatrixTensor<T, device>{{tokens, out}};
  measure(state, backend,
          [&] { backend.template linear<T>(x, w, flat(bias), y.view(), Write::assign); });
  count(state, "FLOP/s", static_cast<double>(2 * tokens * in * out));
}
void layers(benchmark::internal::Benchmark* bench) {
  bench->UseManualTime();
  for (auto const d : {320, 640, 1280}) bench->Args({d, 3 * d})->Args({d, 4 * d})->Args({4 * d, d});
}
BENCHMARK_TEMPLATE(linear, bf16)->Apply(layers);
BENCHMARK_TEMPLATE(linear, float)->Args({1280, 5120})->UseManualTime();

// ---- attention: FLOP/s counts two products forward and five backward

template <class T>
struct AttentionData {
  explicit AttentionData(Index head_dim) : d{heads(head_dim) * head_dim} {}
  static Index heads(Index head_dim) { return 1280 / head_dim; }
  double flops(double products) const {
    return products * 2. * static_cast<double>(tokens) * static_cast<double>(length * d);
  }

  Index d;
  Batch batch;
  MatrixTensor<T, device> q = filled<T>(tokens, d), k = filled<T>(tokens, d),
                          v = filled<T>(tokens, d), out = filled<T>(tokens, d),
                          dout = filled<T>(tokens, d), dq = filled<T>(tokens, d),
                          dk = filled<T>(tokens, d), dv = filled<T>(tokens, d);
};

template <class T, class Attention = cuda::OwnAttention>
void attention(benchmark::State& state) {
  auto backend = cuda::Backend<T, cuda::CublasLt, Attention>{};
  auto const head_dim = Index{state.range(0)};
  auto const x = AttentionData<T>{head_dim};
  auto const heads = x.heads(head_dim);
  auto const lse = MatrixTensor<float, device>{{heads, tokens}};
  measure(state, backend, [&] {
    backend.attention(x.q, x.k, x.v, heads, x.batch.packing(), x.out.view(), lse.view());
  });
  count(state, "FLOP/s", x.flops(2));
}
template <class T, class Attention = cuda::OwnAttention>
void attention_backward(benchmark::State& state) {
  auto backend = cuda::Backend<T, cuda::CublasLt, Attention>{};
  auto const head_dim = Index{state.range(0)};
  auto const x = AttentionData<T>{head_dim};
  auto const heads = x.heads(head_dim);
  auto const lse = MatrixTensor<float, device>{{heads, tokens}};
  backend.attention(x.q, x.k, x.v, heads, x.batch.packing(), x.out.view(), lse.view());
  measure(state, backend, [&] {
    backend.attention_backward(x.q, x.k, x.v, heads, x.batch.packing(), x.out, x.dout, lse,
                               x.dq.view(), x.dk.view(), x.dv.view());
  });
  count(state, "FLOP/s", x.flops(5));
}
void head_dims(benchmark::internal::Benchmark* bench) {
  bench->UseManualTime();
  for (auto const d : {16, 32, 64, 128}) bench->Arg(d);
}
BENCHMARK_TEMPLATE(attention, bf16)->Apply(head_dims);
BENCHMARK_TEMPLATE(attention_backward, bf16)->Apply(head_dims);
BENCHMARK_TEMPLATE(attention, float)->Arg(64)->UseManualTime();
#ifdef QLORA_HAS_CUDNN
using cuda::CudnnAttention;
BENCHMARK_TEMPLATE(attention, bf16, CudnnAttention)->Arg(64)->Arg(128)->UseManualTime();
BENCHMARK_TEMPLATE(attention_backward, bf16, CudnnAttention)->Arg(64)->Arg(128)->UseManualTime();
#endif

// ---- adapters: query, key and value of the 650M model, dropout 0.1

constexpr auto hidden = Index{1280};

void lora_project(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const batch = Batch{};
  auto const rank = Index{state.range(0)};
  auto const x = filled<bf16>(tokens, hidden);
  auto const a = filled<float>(3 * rank, hidden);
  auto const h = MatrixTensor<float, device>{{tokens, 3 * rank}};
  auto const input = LoraInput{3, 0, {.probability = .1f}};
  measure(state, backend,
          [&] { backend.template lora_project<bf16>(x, a, input, batch.packing(), h.view()); });
  count_bytes(state, tokens * hidden * Index{sizeof(bf16)});
}
void lora_project_backward(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const batch = Batch{};
  auto const rank = Index{state.range(0)};
  auto const x = filled<bf16>(tokens, hidden);
  auto const a = filled<float>(3 * rank, hidden);
  auto const da = filled<float>(3 * rank, hidden);
  auto const dh = filled<float>(tokens, 3 * rank);
  auto const dx = filled<float>(tokens, hidden);
  auto const input = LoraInput{3, 0, {.probability = .1f}};
  measure(state, backend, [&] {
    backend.template lora_project_backward<bf16, float>(x, a, input, batch.packing(), dh, dx.view(),
                                                        da.view());
  });
  count_bytes(state, tokens * hidden * Index{sizeof(bf16) + 2 * sizeof(float)});
}
void lora_expand(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const rank = Index{state.range(0)};
  auto const h = filled<float>(tokens, rank);
  auto const b = filled<float>(hidden, rank);
  auto const y = filled<bf16>(tokens, hidden);
  measure(state, backend, [&] { backend.template lora_expand<bf16>(h, b, .5f, y.view()); });
  count_bytes(state, 2 * tokens * hidden * Index{sizeof(bf16)});
}
void lora_expand_backward(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const rank = Index{state.range(0)};
  auto const h = filled<float>(tokens, rank);
  auto const b = filled<float>(hidden, rank);
  auto const db = filled<float>(hidden, rank);
  auto const dh = filled<float>(tokens, rank);
  auto const dy = filled<bf16>(tokens, hidden);
  measure(state, backend, [&] {
    backend.template lora_expand_backward<bf16>(h, b, .5f, dy, dh.view(), db.view());
  });
  count_bytes(state, tokens * hidden * Index{sizeof(bf16)});
}
BENCHMARK(lora_project)->Arg(2)->Arg(16)->UseManualTime();
BENCHMARK(lora_project_backward)->Arg(2)->Arg(16)->UseManualTime();
BENCHMARK(lora_expand)->Arg(2)->Arg(16)->UseManualTime();
BENCHMARK(lora_expand_backward)->Arg(2)->Arg(16)->UseManualTime();

// ---- between the products

void layer_norm(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const x = filled<float>(tokens, hidden);
  auto const gamma = filled<float>(1, hidden);
  auto const y = MatrixTensor<bf16, device>{{tokens, hidden}};
  auto const stats = MatrixTensor<float, device>{{tokens, 2}};
  measure(state, backend, [&] {
    backend.template layer_norm<bf16>(x, flat(gamma), flat(gamma), 1e-5f, y.view(), stats.view());
  });
  count_bytes(state, tokens * hidden * Index{sizeof(float) + sizeof(bf16)});
}
void layer_norm_backward(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const x = filled<float>(tokens, hidden);
  auto const gamma = filled<float>(1, hidden);
  auto const stats = filled<float>(tokens, 2);
  auto const dy = filled<float>(tokens, hidden);
  auto const dx = filled<float>(tokens, hidden);
  measure(state, backend,
          [&] { backend.layer_norm_backward(dy, x, flat(gamma), stats, dx.view()); });
  count_bytes(state, 4 * tokens * hidden * Index{sizeof(float)});
}
void gelu(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const u = filled<bf16>(tokens, 4 * hidden);
  auto const g = MatrixTensor<bf16, device>{{tokens, 4 * hidden}};
  measure(state, backend, [&] { backend.gelu(u, g.view()); });
  count_bytes(state, 8 * tokens * hidden * Index{sizeof(bf16)});
}
void gelu_backward(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const u = filled<bf16>(tokens, 4 * hidden);
  auto const g = filled<bf16>(tokens, 4 * hidden);
  measure(state, backend, [&] { backend.gelu_backward(u, g, g.view()); });
  count_bytes(state, 12 * tokens * hidden * Index{sizeof(bf16)});
}
void rotary(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const batch = Batch{};
  auto const x = filled<bf16>(tokens, hidden);
  measure(state, backend,
          [&] { backend.rotary(x.view(), 20, batch.packing(), 1.f, Rotation::forward); });
  count_bytes(state, 2 * tokens * hidden * Index{sizeof(bf16)});
}
void sum_rows(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const x = filled<float>(tokens, 2);
  auto const sum = filled<float>(1, 2);
  measure(state, backend, [&] { backend.sum_rows(x, flat(sum)); });
  count_bytes(state, tokens * 2 * Index{sizeof(float)});
}
void cross_entropy(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const logits = filled<float>(tokens, 2);
  auto const dlogits = MatrixTensor<float, device>{{tokens, 2}};
  auto labels = VectorTensor<std::int32_t>{{tokens}};
  for (auto i = Index{0}; i < tokens; ++i) labels.data()[i] = i % 30 == 0 ? 1 : 0;
  auto const there = moved_to<device>(std::move(labels));
  auto zero = StepNumbers{};
  auto const numbers = VectorTensor<StepNumbers, device>{{1}};
  transfer(Vector<StepNumbers>{&zero, {1}}, numbers.view());
  measure(state, backend, [&] {
    backend.cross_entropy(logits, there, {1., 10.}, 1e-4, dlogits.view(), numbers.view());
  });
  count_bytes(state, tokens * Index{4 * sizeof(float) + sizeof(std::int32_t)});
}
void adamw(benchmark::State& state) {
  auto backend = B<bf16>{};
  auto const size = Index{8} << 20;
  auto const x = filled<float>(4, size);
  auto numbers = StepNumbers{1., 1., 3.};
  auto const there = VectorTensor<StepNumbers, device>{{1}};
  transfer(Vector<StepNumbers>{&numbers, {1}}, there.view());
  auto const row = [&](Index i) { return x.view().row(i); };
  measure(state, backend,
          [&] { backend.adamw(row(0), row(1), row(2), row(3), {.clip = 1.}, there.view()); });
  count_bytes(state, 7 * size * Index{sizeof(float)});
}
BENCHMARK(layer_norm)->UseManualTime();
BENCHMARK(layer_norm_backward)->UseManualTime();
BENCHMARK(gelu)->UseManualTime();
BENCHMARK(gelu_backward)->UseManualTime();
BENCHMARK(rotary)->UseManualTime();
BENCHMARK(sum_rows)->UseManualTime();
BENCHMARK(cross_entropy)->UseManualTime();
BENCHMARK(adamw)->UseManualTime();

}  // namespace
