/// Attention by cuDNN, a policy for programs that link it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <qlora/backend/cuda/attention.cuh>
#include <qlora/backend/cuda/attention_cudnn_graph.cuh>
#include <qlora/backend/cuda/cudnn.cuh>
#include <qlora/backend/cuda/elementwise.cuh>
#include <qlora/backend/cuda/map.cuh>
#include <qlora/backend/cuda/scratch.cuh>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/rounding.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// Where each sequence starts in each matrix (matrices, sequences + 1), and how many tokens it has.
/// Sequences that only fill up a graph's number are empty.
struct CudnnSequences {
  AttentionShape shape;
  Index strides[CudnnAttentionShape::backward_matrices];
  Index sequences;
  std::int64_t* starts;
  std::int32_t* lengths;
  __device__ void operator()(Index matrix, Index sequence) const {
    auto const last = shape.sequences;
    auto const start = shape.offsets[sequence < last ? sequence : last];
    starts[matrix * (sequences + 1) + sequence] = start * strides[matrix];
    if (matrix > 0 || sequence == sequences) return;
    lengths[sequence] = shape.offsets[sequence < last ? sequence + 1 : last] - start;
  }
};

/// Attention by cuDNN where it is bf16, heads are of 64 numbers or more, matrices are aligned to 16
/// bytes, and cuDNN has an engine for it; by the library's own kernels elsewhere. cuDNN chooses by
/// a batch's number of sequences and their longest length, so that a protein's bits may depend on
/// its neighbours, which they do not by the library's own kernels.
class CudnnAttention {
  using Shape = CudnnAttentionShape;

 public:
  /// Narrower heads are left to the library's own kernels.
  static constexpr Index smallest_head_dim = 64, largest_head_dim = 128;
  /// More is not asked for: such batches are left to the library's own kernels as well.
  static constexpr auto largest_workspace_bytes = std::size_t{2} << 30;

  /// Throws SystemError where there is no device.
  CudnnAttention() : handle_{open()}, device_{current_device()} {}

  template <class T>
  void forward(AttentionForward<T> const& problem, Stream const& stream) {
    if constexpr (std::same_as<T, bf16>) {
      if (run(problem, stream)) return;
    }
    own_.forward(problem, stream);
  }
  template <class T>
  void backward(AttentionBackward<T> const& problem, Stream const& stream) {
    if constexpr (std::same_as<T, bf16>) {
      if (run(problem, stream)) return;
    }
    own_.backward(problem, stream);
  }

  /// Plans made so far.
  std::ptrdiff_t plans() const {
    auto const made = [](auto const& plan) { return plan.second.has_value(); };
    return std::ranges::count_if(forward_, made) + std::ranges::count_if(backward_, made);
  }

  /// The shape whose graph serves that problem. Numbers of sequences go up in powers of two, and
  /// lengths in four steps an octave, so that the batches of a run share a few plans.
  static Shape rounded(AttentionShape const& shape) {
    auto const octave = static_cast<Index>(std::bit_ceil(static_cast<std::size_t>(shape.longest)));
    auto const step = std::max(Index{128}, octave / 8);
    return {
        .sequences = static_cast<Index>(std::bit_ceil(static_cast<std::size_t>(shape.sequences))),
        .longest = round_up(shape.longest, step),
        .heads = shape.heads,
        .head_dim = shape.head_dim};
  }

 private:
  using Id = CudnnAttentionGraph::Id;
  /// Empty where the library's own kernels serve.
  using Plans = std::map<Shape, std::optional<CudnnPlan>>;

  struct Operand {
    void* data = nullptr;
    Index stride = 0;
  };
  /// A plan and all addresses that it works on.
  using Call = std::array<void const*, 5 + 2 * std::size_t{Shape::backward_matrices}>;

  /// By Shape::Matrix, as many as a pass has.
  using Operands = std::array<Operand, Shape::backward_matrices>;

  template <class T>
  static Operand operand(Strided<T> const& matrix) {
    return {const_cast<std::remove_const_t<T>*>(matrix.data), matrix.stride};
  }

  bool run(AttentionForward<bf16> const& problem, Stream const& stream) {
    auto const& shape = problem.shape;
    auto operands = Operands{operand(problem.q),
                             operand(problem.k),
                             operand(problem.v),
                             operand(problem.out),
                             {.stride = shape.heads}};
    auto const* const plan =
        plan_for(forward_, CudnnAttentionGraph::forward, shape, operands, Shape::forward_matrices);
    if (plan == nullptr) return false;
    auto const stats = statistics(shape, operands);
    execute(*plan, shape, operands, Shape::forward_matrices, stream);
    map(shape.heads, shape.tokens, stream, Round<float>{}, problem.lse,
        Strided<float const>{stats.data, stats.stride, stats.step});
    return true;
  }

  bool run(AttentionBackward<bf16> const& problem, Stream const& stream) {
    auto const& shape = problem.shape;
    auto operands = Operands{operand(problem.q),   operand(problem.k),      operand(problem.v),
                             operand(problem.out), {.stride = shape.heads}, operand(problem.dout),
                             operand(problem.dq),  operand(problem.dk),     operand(problem.dv)};
    auto const* const plan = plan_for(backward_, CudnnAttentionGraph::backward, shape, operands,
                                      Shape::backward_matrices);
    if (plan == nullptr) return false;
    map(shape.heads, shape.tokens, stream, Round<float>{}, statistics(shape, operands),
        problem.lse);
    execute(*plan, shape, operands, Shape::backward_matrices, stream);
    return true;
  }

  /// cuDNN's lse (n, heads), seen as the library's (heads, n), whose strides would depend on the
  /// number of tokens, and with them the plan.
  Strided<float> statistics(AttentionShape const& shape, Operands& operands) {
    auto* const stats = stats_.take<float>(shape.tokens * shape.heads);
    operands[Shape::stats].data = stats;
    return {stats, 1, shape.heads};
  }

  /// Null where cuDNN is not to be used. A plan is made once for each shape.
  Plans::value_type const* plan_for(Plans& plans, CudnnGraph (*make)(Shape const&),
                                    AttentionShape const& shape, Operands const& operands,
                                    int matrices) {
    if (shape.head_dim < smallest_head_dim || shape.head_dim > largest_head_dim ||
        shape.head_dim % 8 != 0) {
      return nullptr;
    }
    auto key = rounded(shape);
    for (auto i = 0; i < matrices; ++i) {
      auto const& [data, stride] = operands[i];
      auto const aligned = reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % 8 == 0;
      if (i != Shape::stats && !aligned) return nullptr;
      key.strides[i] = stride;
    }
    auto found = plans.find(key);
    if (found == plans.end()) found = plans.emplace(key, plan_of(make(key))).first;
    return found->second ? &*found : nullptr;
  }

  std::optional<CudnnPlan> plan_of(CudnnGraph const& graph) const {
    auto const engine = graph.engine(device_);
    if (!engine) return {};
    auto const bytes = engine->get_number(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, graph.what());
    if (static_cast<std::size_t>(bytes) > largest_workspace_bytes) return {};
    return CudnnPlan{graph, *engine, device_};
  }

  void execute(Plans::value_type const& found, AttentionShape const& shape,
               Operands const& operands, int matrices, Stream const& stream) {
    auto const& [key, plan] = found;
    auto const ends = key.sequences + 1;
    auto sequences = CudnnSequences{.shape = shape,
                                    .strides = {},
                                    .sequences = key.sequences,
                                    .starts = starts_.take<std::int64_t>(matrices * ends),
                                    .lengths = lengths_.take<std::int32_t>(key.sequences)};
    auto addresses = std::vector<CudnnPlan::Address>{{Id::query_lengths, sequences.lengths},
                                                     {Id::key_lengths, sequences.lengths}};
    for (auto i = 0; i < matrices; ++i) {
      sequences.strides[i] = operands[i].stride;
      addresses.push_back({Id::matrices + i, operands[i].data});
      addresses.push_back({Id::starts + i, sequences.starts + i * ends});
    }
    if (matrices == Shape::backward_matrices) {
      auto const numbers = key.sequences * key.heads * key.longest;
      addresses.push_back({Id::delta, delta_.take<float>(numbers)});
    }
    for_each_element(matrices, ends, stream, sequences);
    auto const bytes = static_cast<Index>(plan->workspace_bytes());
    auto* const workspace = workspace_.take<std::byte>(bytes);
    auto call = Call{&*plan, workspace};
    std::ranges::transform(addresses, call.begin() + 2, &CudnnPlan::Address::data);
    if (!stream.wants(call)) return;
    check(cudnnSetStream(handle_.get(), stream), "cudnnSetStream");
    plan->run(handle_.get(), addresses, workspace);
  }

  static cudnnHandle_t open() {
    auto handle = cudnnHandle_t{};
    check(cudnnCreate(&handle), "cudnnCreate");
    return handle;
  }
  static CudnnDescriptor current_device() {
    auto number = 0;
    check(cudaGetDevice(&number), "the current device");
    return cudnn_device(number);
  }

  struct Destroy {
    void operator()(cudnnHandle_t handle) const noexcept { cudnnDestroy(handle); }
  };
  std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, Destroy> handle_;
  CudnnDescriptor device_;
  Plans forward_, backward_;
  Scratch stats_, starts_, lengths_, delta_, workspace_;
  OwnAttention own_;
};

}  // namespace qlora::inline v1::cuda
