/// Quantizing a model folder: the encoder's weights as bitsandbytes stores them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qlora/adapt/peft.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/model/folder_draft.hpp>
#include <qlora/model/frozen_weights.hpp>
#include <qlora/model/other_tensors.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/quant/bitsandbytes.hpp>

namespace qlora::inline v1 {

namespace detail {

/// What `config.json` calls a scheme. Throws InputError for one that bitsandbytes does not have.
inline BitsAndBytes bitsandbytes_of(quant::Any const& scheme) {
  using enum BitsAndBytes::Kind;
  for (auto const& [name, kind] :
       {std::pair{Nf4<64>::name, nf4}, {Fp4<64>::name, fp4}, {Int8::name, int8}}) {
    if (scheme.name == name) return {kind, scheme.double_quantized};
  }
  throw InputError{"quantization: expected nf4, fp4 or int8, found " + std::string{scheme.name}};
}

/// The text that tells bitsandbytes what a 4-bit weight is, to the character as Python writes it.
inline std::string quant_state(Quantized<quant::Any> const& matrix) {
  return "{\"quant_type\": \"" + std::string{matrix.scheme().name} +
         "\", \"blocksize\": " + std::to_string(matrix.scheme().block) +
         ", \"dtype\": \"float32\", \"shape\": [" + std::to_string(matrix.rows()) + ", " +
         std::to_string(matrix.columns()) +
         "], \"nested_blocksize\": " + std::to_string(quant::nested_block) +
         ", \"nested_dtype\": \"float32\", \"nested_offset\": " +
         Json(double{matrix.offset()}).dump() + "}";
}

/// Makes drafts of quantized weights. Codes are made anew when they are written, so that one matrix
/// at a time is in memory.
class WeightQuantizer {
 public:
  WeightQuantizer(ModelFolder const& source, quant::Any const& scheme)
      : source_{source}, scheme_{scheme} {}
  WeightQuantizer(WeightQuantizer const&) = delete;  // drafts refer to it
  WeightQuantizer& operator=(WeightQuantizer const&) = delete;

  /// The tensors of a weight, named as bitsandbytes names them.
  FolderDraft::Group draft(TensorShape const& weight) {
    return scheme_.bits == 4 ? four_bit(weight) : int8(weight);
  }

 private:
  FolderDraft::Group four_bit(TensorShape const& weight) {
    // Quantized once ahead: a file begins with the length of this text, which holds the offset.
    auto const& matrix = quantized(weight);
    auto const nested = matrix.nested_scales();
    auto const& layout = matrix.layout();
    auto const& name = weight.name;
    auto text = quant_state(matrix);
    auto const text_size = static_cast<std::int64_t>(text.size());
    return {
        {{name, Dtype::u8, {layout.code_bytes, 1}},
         [=, this] { return bytes_of(quantized(weight).codes()); }},
        {{name + ".absmax", Dtype::u8, {layout.blocks}},
         [=, this] { return bytes_of(quantized(weight).scale_codes()); }},
        {{name + ".nested_absmax", Dtype::f32, {layout.nested_blocks()}},
         [kept = std::vector<float>(nested.begin(), nested.end())] { return bytes_of(kept); }},
        {{name + ".nested_quant_map", Dtype::f32, {256}},
         [] { return bytes_of(quant::dynamic_map); }},
        {{name + ".quant_map", Dtype::f32, {16}},
         [this] { return bytes_of(quant::codebook(scheme_)); }},
        {{name + ".quant_state.bitsandbytes__" + std::string{scheme_.name}, Dtype::u8, {text_size}},
         [kept = std::move(text)] { return bytes_of(kept); }}};
  }

  FolderDraft::Group int8(TensorShape const& weight) {
    static constexpr auto row_major = std::uint8_t{0};
    auto const module = weight.name.substr(0, weight.name.rfind("weight"));
    return {{{weight.name, Dtype::i8, {weight.rows, weight.columns}},
             [=, this] { return bytes_of(quantized(weight).codes()); }},
            {{module + "SCB", Dtype::f32, {weight.rows}},
             [=, this] { return bytes_of(quantized(weight).scales()); }},
            {{module + "weight_format", Dtype::u8, {}}, [] {
               return std::as_bytes(std::span{&row_major, 1});
             }}};
  }

  /// The weight, kept until another is asked for.
  Quantized<quant::Any> const& quantized(TensorShape const& weight) {
    if (name_ != weight.name) {
      matrix_ = {};
      matrix_ = FrozenWeights{source_, scheme_}.hold(
          FullWeight{source_.tensor(weight.name, weight.rows, weight.columns)}, weight.name);
      name_ = weight.name;
    }
    return matrix_;
  }

  ModelFolder const& source_;
  quant::Any scheme_;
  std::string name_;
  Quantized<quant::Any> matrix_;
};

}  // namespace detail

/// Writes `source` as a folder that transformers loads with bitsandbytes: the encoder's weights
/// quantized by nf4, fp4 or int8, everything else in full precision; no classifier if `source` has
/// none. Throws InputError for another scheme, for a source that is quantized already (what was
/// lost once would be lost again), for weights that cannot be quantized, and when `out` holds
/// something already; SystemError when it cannot be written.
inline void quantize_folder(ModelFolder const& source, quant::Any const& scheme,
                            std::filesystem::path const& out, FolderOptions const& options = {}) {
  refuse_occupied(out);
  auto config = source.config();
  if (config.quantization) {
    throw InputError{at((source.path() / "config.json").string(),
                        "expected a model in full precision, found one that is quantized already")};
  }
  config.quantization = detail::bitsandbytes_of(scheme);

  auto draft = FolderDraft{};
  auto quantizer = detail::WeightQuantizer{source, scheme};
  auto const add_full = [&](TensorShape const& tensor) {
    draft.add(tensor, [&source, tensor] { return full_weight(source, tensor); });
  };
  for (auto const& tensor : encoder_tensors(config.shape)) {
    options.before_tensor();  // some are quantized ahead
    if (tensor.is_vector || !peft::find_site(tensor.name.substr(0, tensor.name.rfind('.')))) {
      add_full(tensor);
    } else {
      draft.add(quantizer.draft(tensor));
    }
  }
  if (source.has_classifier()) {
    add_full(weight_shape(config.shape, source.classifier_site()));
    add_full({"classifier.bias", 1, 2, true});
  }
  add_other_tensors(source, draft);
  draft.write(out, config, source.path(), options);
}

}  // namespace qlora::inline v1
