/// What a model folder holds besides encoder and classifier, on its way into another folder.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/stored_tensor.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/model/folder_draft.hpp>
#include <qlora/model/frozen_weights.hpp>

namespace qlora::inline v1 {

/// The published name of a tensor, whatever its spelling in a file: saved from the bare encoder, it
/// lacks "esm.", and transformers 5 calls a LayerNorm's tensors gamma and beta.
inline std::string canonical_name(std::string_view spelling) {
  auto name = std::string{spelling};
  for (auto const* const part : {"embeddings.", "encoder.", "contact_head.", "pooler."}) {
    if (spelling.starts_with(part)) name.insert(0, "esm.");
  }
  auto const respell = [&](std::string_view from, std::string_view to) {
    if (!name.ends_with(from)) return;
    name.replace(name.size() - from.size() + std::string_view{"LayerNorm."}.size(), name.npos, to);
  };
  respell("LayerNorm.gamma", "weight");
  respell("LayerNorm.beta", "bias");
  return name;
}

namespace detail {

/// Whether the tensor is a part of a quantized weight, whose own name is shorter.
inline bool lies_beside_weight(std::string_view name) {
  return name.find(".weight.") != name.npos || name.ends_with(".SCB") ||
         name.ends_with(".weight_format");
}

/// Matrices outside the encoder that transformers may have quantized.
inline std::vector<TensorShape> other_matrices(nn::EncoderShape const& shape) {
  return {{"esm.contact_head.regression.weight", 1, shape.layers * shape.heads, false},
          {"lm_head.dense.weight", shape.hidden, shape.hidden, false},
          {"lm_head.decoder.weight", shape.vocabulary, shape.hidden, false}};
}

}  // namespace detail

/// Adds to `draft` every tensor of the folder that is neither the encoder's nor the classifier's,
/// as it is, or expanded if it is quantized: without its contact head transformers would miss
/// something. The folder must outlive the draft. Throws InputError for a quantized tensor of
/// unknown shape, and for NaN and infinity.
inline void add_other_tensors(ModelFolder const& folder, FolderDraft& draft) {
  auto known = std::set<std::string>{"classifier.weight", "classifier.bias"};
  for (auto const& tensor : encoder_tensors(folder.config().shape)) known.insert(tensor.name);
  auto const matrices = detail::other_matrices(folder.config().shape);
  for (auto const& file : folder.tensors().files()) {
    for (auto const& tensor : file.tensors()) {
      auto name = canonical_name(tensor.name);
      if (detail::lies_beside_weight(name) || !known.insert(name).second) continue;
      auto const quantized =
          name.ends_with(".weight") && (tensor.dtype == Dtype::u8 || tensor.dtype == Dtype::i8);
      if (!quantized) {
        if (is_floating(tensor.dtype)) read_floats(tensor, file.path().string());
        draft.add({{{std::move(name), tensor.dtype, tensor.shape}, [&] { return tensor.bytes; }}});
        continue;
      }
      auto const matrix = std::ranges::find(matrices, name, &TensorShape::name);
      if (matrix == matrices.end()) {
        detail::refuse_tensor(name, "full precision", std::string{dtype_name(tensor.dtype)},
                              file.path().string());
      }
      draft.add(*matrix, [&folder, matrix = *matrix] { return full_weight(folder, matrix); });
    }
  }
}

}  // namespace qlora::inline v1
