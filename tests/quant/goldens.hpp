/// The tensors of one golden file, typed.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include <qlora/core/safetensors.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/quant/dequantize.hpp>

namespace qlora::testing {

class QuantGoldens {
 public:
  explicit QuantGoldens(std::string const& name)
      : file_{std::string{QLORA_TEST_DATA "/quant/"} + name} {}

  template <class T>
  std::vector<T> read(std::string const& name) const {
    auto const& stored = file_.at(name);
    auto values = std::vector<T>(stored.bytes.size() / sizeof(T));
    std::memcpy(values.data(), stored.bytes.data(), stored.bytes.size());
    return values;
  }

  MatrixTensor<float> matrix(std::string const& name) const {
    auto const& stored = file_.at(name);
    auto matrix = MatrixTensor<float>{{stored.shape.at(0), stored.shape.at(1)}};
    std::memcpy(matrix.data(), stored.bytes.data(), stored.bytes.size());
    return matrix;
  }

  /// Names of all cases: what stands before ".input".
  std::vector<std::string> cases() const {
    auto names = std::vector<std::string>{};
    for (auto const& tensor : file_.tensors()) {
      if (tensor.name.ends_with(".input"))
        names.push_back(tensor.name.substr(0, tensor.name.find('.')));
    }
    return names;
  }

 private:
  SafetensorsFile file_;
};

/// Elements as bits, so that zeros with other signs differ.
template <class V>
std::vector<std::uint8_t> bits(V const& values) {
  auto bytes =
      std::vector<std::uint8_t>(static_cast<std::size_t>(values.size()) * sizeof *values.data());
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

template <class S>
MatrixTensor<float> dequantized(Quantized<S> const& matrix) {
  auto out = MatrixTensor<float>{{matrix.rows(), matrix.columns()}};
  dequantize(matrix, out.view());
  return out;
}

}  // namespace qlora::testing
