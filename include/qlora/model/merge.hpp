/// Merging an adapter into its base model: one folder in full precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/adapt/peft.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/model/adapter.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/model/folder_draft.hpp>
#include <qlora/model/frozen_weights.hpp>
#include <qlora/model/other_tensors.hpp>

namespace qlora::inline v1 {

namespace detail {

/// W + s B A of a tensor that the adapter changes, W of one that it does not; quantized weights are
/// expanded first.
inline MatrixTensor<float> merged(ModelFolder const& base, PeftAdapter const& adapter,
                                  TensorShape const& tensor) {
  auto values = full_weight(base, tensor);
  auto const module = tensor.name.substr(0, tensor.name.rfind(".weight"));
  if (auto const pair = adapter.pairs.find(module); pair != adapter.pairs.end()) {
    auto const elements = std::span{values.data(), static_cast<std::size_t>(values.size())};
    pair->second.add_to(elements, adapter.config.lora.scale());
    if (!std::ranges::all_of(elements, [](float value) { return std::isfinite(value); })) {
      throw InputError{at(module, "expected finite weights after merging, found NaN or infinity")};
    }
  }
  return values;
}

inline MatrixTensor<float> matrix_of(std::vector<float> const& values, TensorShape const& shape) {
  auto matrix = MatrixTensor<float>{{shape.rows, shape.columns}};
  std::ranges::copy(values, matrix.data());
  return matrix;
}

}  // namespace detail

/// Writes `base` with the adapter merged into it as a model folder in float32: every adapted weight
/// W becomes W + s B A, as PEFT's merge_and_unload makes it, and the classifier is the adapter's.
/// `file` names the adapter in messages. Returns its targets that match no module. Throws
/// InputError when the two do not fit (ShapeError where shapes differ), for LoRA on a classifier
/// that neither of them has, and when `out` holds something already; SystemError when it cannot be
/// written.
inline std::vector<std::string> merge_adapter(ModelFolder const& base, PeftAdapter const& adapter,
                                              std::string_view file,
                                              std::filesystem::path const& out,
                                              FolderOptions const& options = {}) {
  refuse_occupied(out);
  auto config = base.config();
  config.quantization.reset();
  auto unmatched = check_adapter(adapter, config.shape, file);

  auto draft = FolderDraft{};
  auto const add_merged = [&](TensorShape const& tensor) {
    draft.add(tensor, [&base, &adapter, file, tensor] {
      return located<InputError>(file, [&] { return detail::merged(base, adapter, tensor); });
    });
  };
  for (auto const& tensor : encoder_tensors(config.shape)) add_merged(tensor);
  auto const classifier = weight_shape(config.shape, base.classifier_site());
  auto const bias = TensorShape{"classifier.bias", 1, classifier.rows, true};
  if (adapter.head) {
    auto const& head = *adapter.head;
    draft.add(classifier, [&] { return detail::matrix_of(head.weight, classifier); });
    draft.add(bias, [&] { return detail::matrix_of(head.bias, bias); });
  } else if (base.has_classifier()) {
    add_merged(classifier);
    add_merged(bias);
  } else if (adapter.pairs.contains("classifier")) {
    throw InputError{at(file,
                        "classifier: expected one in the base model or the adapter, found "
                        "LoRA factors alone")};
  }
  add_other_tensors(base, draft);
  draft.write(out, config, base.path(), options);
  return unmatched;
}

}  // namespace qlora::inline v1
