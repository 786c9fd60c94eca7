/// What a configuration will take of memory, before any weight is read.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <qlora/adapt/lora.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/quant/quantized.hpp>

namespace qlora::inline v1 {

/// Bytes by what they are for.
struct MemoryPlan {
  Index base_parameters = 0;       ///< of the encoder, frozen
  Index trainable_parameters = 0;  ///< of adapters and head
  std::size_t frozen_bytes = 0;    ///< matrices as they are stored
  std::size_t plain_bytes = 0;     ///< embeddings, norms and biases, never quantized
  std::size_t trained_bytes = 0;   ///< trained numbers, gradients and two moments
  std::size_t activation_bytes = 0;

  std::size_t total() const {
    return frozen_bytes + plain_bytes + trained_bytes + activation_bytes;
  }
};

namespace detail {

/// A frozen matrix that is not there.
template <Space M>
struct AbsentWeight {
  static constexpr Space space = M;
  Index out = 0, in = 0;

  Index rows() const { return out; }
  Index columns() const { return in; }
};
template <Space, Space M>
AbsentWeight<M> moved_to(AbsentWeight<M> weight) {
  return weight;
}

/// Gives a model everything but its matrices, and counts what it gives.
template <class Scheme, Space M>
struct AbsentWeights {
  Scheme scheme;
  MemoryPlan plan{};

  MatrixTensor<float> tensor(std::string const&, Index rows, Index columns) {
    plan.base_parameters += rows * columns;
    return MatrixTensor<float>{{rows, columns}};
  }
  AbsentWeight<M> weight(Site, Index rows, Index columns) {
    plan.base_parameters += rows * columns;
    plan.frozen_bytes += static_cast<std::size_t>(quant::stored_bytes(scheme, rows, columns));
    return {rows, columns};
  }
};

}  // namespace detail

/// What a model of that shape takes on backend B when it is trained, or used (Keep::nothing), on
/// passes of at most `tokens`. Throws InputError for impossible `lora`.
template <class B, Quantization Scheme, class P>
MemoryPlan plan_memory(nn::EncoderShape const& shape, Scheme const& scheme, P const& placement,
                       LoraOptions const& lora, Index tokens, Keep keep) {
  using A = typename B::Accumulator;
  auto source = detail::AbsentWeights<Scheme, B::space>{scheme};
  auto model = Esm2<B, detail::AbsentWeight<B::space>>{shape, source, placement, lora};
  auto plan = source.plan;
  auto matrices = Index{0};
  for (auto const& layer : model.layers()) {
    for (auto const* linear : {&layer.qkv, &layer.out, &layer.up, &layer.down}) {
      matrices += linear->expanded_size();
    }
  }
  plan.plain_bytes = static_cast<std::size_t>(plan.base_parameters - matrices) * sizeof(A);
  plan.trainable_parameters = model.parameters().size();
  plan.trained_bytes = static_cast<std::size_t>(plan.trainable_parameters) * 4 * sizeof(A);
  plan.activation_bytes = model.bytes_of_pass(tokens, keep);
  return plan;
}

}  // namespace qlora::inline v1
