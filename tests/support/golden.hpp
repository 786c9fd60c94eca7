/// Goldens, and the small random models they were made from.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <qlora/core/safetensors.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/quant/dequantize.hpp>
#include <qlora/quant/quantize.hpp>

namespace qlora::test {

inline std::filesystem::path golden_path(std::string const& name) {
  return std::filesystem::path{QLORA_TEST_DATA} / name;
}

inline nlohmann::json golden_json(std::string const& name) {
  return nlohmann::json::parse(std::ifstream{golden_path(name)});
}

/// The tensors of one golden file.
class Golden {
 public:
  explicit Golden(std::string const& name) : file_{golden_path(name)} {}

  bool has(std::string const& name) const { return file_.find(name) != nullptr; }

  /// Elements of an F32, F64 or I32 tensor.
  std::vector<double> numbers(std::string const& name) const {
    auto const& tensor = file_.at(name);
    if (tensor.dtype == Dtype::f64) return read<double, double>(tensor);
    if (tensor.dtype == Dtype::i32) return read<std::int32_t, double>(tensor);
    return read<float, double>(tensor);
  }
  std::vector<float> floats(std::string const& name) const {
    return read<float, float>(file_.at(name));
  }

 private:
  template <class Stored, class To>
  static std::vector<To> read(StoredTensor const& tensor) {
    auto stored = std::vector<Stored>(tensor.bytes.size() / sizeof(Stored));
    std::memcpy(stored.data(), tensor.bytes.data(), tensor.bytes.size());
    return {stored.begin(), stored.end()};
  }

  SafetensorsFile file_;
};

/// Reads a golden model whose tensors transformers wrote, and quantizes its matrices; LayerNorms
/// are spelled in two ways.
class GoldenModel {
 public:
  GoldenModel(std::string const& name, quant::Any const& scheme)
      : golden_{"models/" + name + "/model.safetensors"}, scheme_{scheme} {}

  MatrixTensor<float> tensor(std::string name, Index rows, Index columns) const {
    if (!golden_.has(name)) {
      auto const dot = name.rfind('.');
      name = name.substr(0, dot) + (name.substr(dot) == ".weight" ? ".gamma" : ".beta");
    }
    auto const values = golden_.floats(name);
    EXPECT_EQ(static_cast<Index>(values.size()), rows * columns) << name;
    auto tensor = MatrixTensor<float>{{rows, columns}};
    std::copy(values.begin(), values.end(), tensor.data());
    return tensor;
  }
  Quantized<quant::Any> weight(Site site, Index rows, Index columns) const {
    return quantize(scheme_, tensor(module_path(site) + ".weight", rows, columns));
  }

 private:
  Golden golden_;
  quant::Any scheme_;
};

inline nn::EncoderShape golden_shape(std::string const& name) {
  auto const config = golden_json("models/" + name + "/config.json");
  return {.hidden = config.at("hidden_size"),
          .layers = config.at("num_hidden_layers"),
          .heads = config.at("num_attention_heads"),
          .intermediate = config.at("intermediate_size"),
          .vocabulary = config.at("vocab_size"),
          .layer_norm_eps = config.at("layer_norm_eps"),
          .token_dropout = config.at("token_dropout")};
}

/// Largest |a - b| / (absolute + relative |b|); at most 1 when within the tolerance.
template <class V, class W>
double excess(V const& values, W const& expected, double absolute, double relative) {
  EXPECT_EQ(static_cast<std::size_t>(values.size()), expected.size());
  auto worst = 0.;
  for (auto i = std::size_t{0}; i < expected.size(); ++i) {
    auto const value = static_cast<double>(values.data()[i]);
    auto const error = std::abs(value - static_cast<double>(expected[i]));
    worst = std::max(worst, error / (absolute + relative * std::abs(expected[i])));
    if (std::isnan(value)) return value;
  }
  return worst;
}

}  // namespace qlora::test
