/// `config.json` of an ESM-2 model, as transformers reads and writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/nn/encoder_layer.hpp>

namespace qlora::inline v1 {

/// How bitsandbytes stored a folder's linear layers.
struct BitsAndBytes {
  enum class Kind { nf4, fp4, int8 };

  Kind kind = Kind::nf4;
  bool double_quantized = true;  ///< 4-bit only
};

/// What `config.json` says of a model that this library can compute.
struct EsmConfig {
  nn::EncoderShape shape;
  std::int64_t max_positions = 1026;  ///< kept for transformers; rotary positions have no limit
  double initializer_range = 0.02;    ///< deviation of a fresh classifier
  std::optional<BitsAndBytes> quantization;

  /// The configuration in `document`, read from `file`. Throws InputError for sizes that are no
  /// model, and for any switch that would make transformers compute something else.
  static EsmConfig from_json(Json const& document, std::string_view file);
  static EsmConfig read(std::filesystem::path const& path) {
    return from_json(json::read_object(path), path.string());
  }

  /// The document from which transformers builds an EsmForTokenClassification with two labels.
  [[nodiscard]] Json to_json() const;
  void write(std::filesystem::path const& path) const {
    write_atomically(path, to_json().dump(2) + "\n");
  }
};

namespace detail {

/// What is left out of quantization in the folders this library writes.
inline std::vector<std::string> const unquantized_modules{"classifier",
                                                          "esm.contact_head.regression", "lm_head"};

inline std::optional<BitsAndBytes> read_quantization(Json const& document, std::string_view file) {
  auto const entry = document.find("quantization_config");
  if (entry == document.end() || entry->is_null()) return std::nullopt;
  auto const fail = [&](std::string const& expected, std::string const& found) {
    throw InputError{at(file, "quantization_config: expected " + expected + ", found " + found)};
  };
  if (!entry->is_object()) fail("an object", json::shown(*entry));
  auto const method = json::require<std::string>(*entry, "quant_method", file);
  if (method != "bitsandbytes")
    fail("quant_method \"bitsandbytes\"", "\"" + printable(method) + "\"");
  auto const four = json::find<bool>(*entry, "load_in_4bit", file).value_or(false);
  auto const eight = json::find<bool>(*entry, "load_in_8bit", file).value_or(false);
  if (four == eight) fail("one of load_in_4bit and load_in_8bit", four ? "both" : "neither");
  if (eight) return BitsAndBytes{BitsAndBytes::Kind::int8, false};
  auto const type = json::find<std::string>(*entry, "bnb_4bit_quant_type", file).value_or("fp4");
  if (type != "nf4" && type != "fp4") fail("type nf4 or fp4", "\"" + printable(type) + "\"");
  return BitsAndBytes{type == "nf4" ? BitsAndBytes::Kind::nf4 : BitsAndBytes::Kind::fp4,
                      json::find<bool>(*entry, "bnb_4bit_use_double_quant", file).value_or(false)};
}

inline Json write_quantization(BitsAndBytes const& quantization) {
  auto const eight = quantization.kind == BitsAndBytes::Kind::int8;
  return {{"quant_method", "bitsandbytes"},
          {"load_in_4bit", !eight},
          {"load_in_8bit", eight},
          {"_load_in_4bit", !eight},
          {"_load_in_8bit", eight},
          {"bnb_4bit_quant_type", quantization.kind == BitsAndBytes::Kind::nf4 ? "nf4" : "fp4"},
          {"bnb_4bit_use_double_quant", quantization.double_quantized},
          {"bnb_4bit_compute_dtype", "float32"},
          {"bnb_4bit_quant_storage", "uint8"},
          {"llm_int8_skip_modules", unquantized_modules},
          {"llm_int8_threshold", 6.0},
          {"llm_int8_has_fp16_weight", false},
          {"llm_int8_enable_fp32_cpu_offload", false}};
}

}  // namespace detail

inline EsmConfig EsmConfig::from_json(Json const& document, std::string_view file) {
  auto const extent = [&](std::string_view key, std::int64_t high, std::int64_t low = 1) {
    return json::within(json::require<std::int64_t>(document, key, file), low, high, key, file);
  };
  auto const refuse_unless = [&]<class T>(std::string_view key, T const& fallback,
                                          T const& expected) {
    auto const value = json::find<T>(document, key, file).value_or(fallback);
    if (value != expected) {
      throw InputError{at(file, std::string{key} + ": expected " + json::shown(Json(expected)) +
                                    ", found " + json::shown(Json(value)))};
    }
  };
  using std::string;

  // Fallbacks are what transformers assumes where a field is absent.
  refuse_unless("model_type", string{}, string{"esm"});
  refuse_unless("position_embedding_type", string{"absolute"}, string{"rotary"});
  refuse_unless("hidden_act", string{"gelu"}, string{"gelu"});
  refuse_unless("rope_theta", 1e4, 1e4);
  refuse_unless("emb_layer_norm_before", false, false);
  refuse_unless("is_folding_model", false, false);
  refuse_unless("is_decoder", false, false);
  refuse_unless("add_cross_attention", false, false);
  refuse_unless("pad_token_id", std::int64_t{1}, std::int64_t{1});
  refuse_unless("mask_token_id", std::int64_t{32}, std::int64_t{32});

  auto config = EsmConfig{};
  auto& shape = config.shape;
  shape.hidden = extent("hidden_size", 65'536);
  shape.layers = extent("num_hidden_layers", most_layers);
  shape.heads = extent("num_attention_heads", 4'096);
  shape.intermediate = extent("intermediate_size", 1'048'576);
  shape.vocabulary = extent("vocab_size", 65'536, 33);  // 33: the tokens this library writes
  if (shape.hidden % (2 * shape.heads) != 0) {
    throw InputError{at(file,
                        "expected a hidden_size that is an even multiple of num_attention_heads, "
                        "found " +
                            std::to_string(shape.hidden) + " and " + std::to_string(shape.heads))};
  }
  shape.layer_norm_eps =
      json::within(json::find<double>(document, "layer_norm_eps", file).value_or(1e-12), 1e-30, 1.0,
                   "layer_norm_eps", file);
  shape.token_dropout = json::find<bool>(document, "token_dropout", file).value_or(false);
  if (document.contains("max_position_embeddings")) {
    config.max_positions = extent("max_position_embeddings", std::int64_t{1} << 31);
  }
  config.initializer_range = json::within(
      json::find<double>(document, "initializer_range", file).value_or(config.initializer_range),
      0.0, 1.0, "initializer_range", file);
  config.quantization = detail::read_quantization(document, file);
  return config;
}

inline Json EsmConfig::to_json() const {
  auto document = Json{{"model_type", "esm"},
                       {"architectures", {"EsmForTokenClassification"}},
                       {"hidden_size", shape.hidden},
                       {"num_hidden_layers", shape.layers},
                       {"num_attention_heads", shape.heads},
                       {"intermediate_size", shape.intermediate},
                       {"vocab_size", shape.vocabulary},
                       {"max_position_embeddings", max_positions},
                       {"layer_norm_eps", shape.layer_norm_eps},
                       {"token_dropout", shape.token_dropout},
                       {"position_embedding_type", "rotary"},
                       {"hidden_act", "gelu"},
                       {"emb_layer_norm_before", false},
                       {"is_folding_model", false},
                       {"hidden_dropout_prob", 0.0},
                       {"attention_probs_dropout_prob", 0.0},
                       {"initializer_range", initializer_range},
                       {"pad_token_id", 1},
                       {"mask_token_id", 32},
                       {"dtype", "float32"},
                       {"id2label", {{"0", "No binding site"}, {"1", "Binding site"}}},
                       {"label2id", {{"No binding site", 0}, {"Binding site", 1}}}};
  if (quantization) document["quantization_config"] = detail::write_quantization(*quantization);
  return document;
}

}  // namespace qlora::inline v1
