/// A Hugging Face model folder: `config.json` and the tensors of an ESM-2 encoder, by their
/// canonical names, whatever spelling, sharding or quantization the files have.
#pragma once

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <qlora/adapt/placement.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/shard_index.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/model/config.hpp>
#include <qlora/model/stored_weight.hpp>

namespace qlora::inline v1 {

/// A tensor the model has: matrices (rows, columns), vectors as one row.
struct TensorShape {
  std::string name;
  Index rows = 0;
  Index columns = 0;
  bool is_vector = false;
};

/// Rows (outputs) and columns (inputs) of a site's weight.
inline TensorShape weight_shape(nn::EncoderShape const& shape, Site site) {
  using enum SiteKind;
  auto const rows = site.kind == intermediate ? shape.intermediate
                    : site.kind == classifier ? Index{2}
                                              : shape.hidden;
  auto const columns = site.kind == output ? shape.intermediate : shape.hidden;
  return {module_path(site) + ".weight", rows, columns, false};
}

/// The tensors of an encoder, by the names published checkpoints use; the classifier's, which may
/// be absent, are not among them.
inline std::vector<TensorShape> encoder_tensors(nn::EncoderShape const& shape) {
  auto tensors = std::vector<TensorShape>{};
  auto const add_vector = [&](std::string name, Index size) {
    tensors.push_back({std::move(name), 1, size, true});
  };
  auto const add_norm = [&](std::string const& name) {
    add_vector(name + ".weight", shape.hidden);
    add_vector(name + ".bias", shape.hidden);
  };
  tensors.push_back(
      {"esm.embeddings.word_embeddings.weight", shape.vocabulary, shape.hidden, false});
  for (auto layer = 0; layer < static_cast<int>(shape.layers); ++layer) {
    auto const prefix = "esm.encoder.layer." + std::to_string(layer) + ".";
    add_norm(prefix + "attention.LayerNorm");
    add_norm(prefix + "LayerNorm");
    for (auto kind = 0; kind < static_cast<int>(SiteKind::classifier); ++kind) {
      auto const site = Site{layer, static_cast<SiteKind>(kind)};
      tensors.push_back(weight_shape(shape, site));
      add_vector(module_path(site) + ".bias", tensors.back().rows);
    }
  }
  add_norm("esm.encoder.emb_layer_norm_after");
  return tensors;
}

/// An open folder. Files are mapped, tensors converted one at a time.
class ModelFolder {
 public:
  /// Reads the configuration and checks that every tensor of the encoder is there in its shape; no
  /// weight is read yet. Throws InputError, ShapeError where shapes differ.
  explicit ModelFolder(std::filesystem::path const& path)
      : ModelFolder{path, read_config(path), open_tensors(path)} {}

  /// The same with tensors that the caller has opened, in whatever format.
  ModelFolder(std::filesystem::path const& path, TensorSet tensors)
      : ModelFolder{path, read_config(path), std::move(tensors)} {}

  [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
  [[nodiscard]] EsmConfig const& config() const noexcept { return config_; }

  /// What the files hold, under the names they use.
  [[nodiscard]] TensorSet const& tensors() const noexcept { return tensors_; }

  /// Whether the folder brings a classifier; without one the head is fresh.
  [[nodiscard]] bool has_classifier() const noexcept { return has_classifier_; }
  [[nodiscard]] Site classifier_site() const noexcept {
    return {static_cast<int>(config_.shape.layers), SiteKind::classifier};
  }

  /// A full-precision tensor by its canonical name; a vector has one row. Throws InputError when it
  /// is absent, quantized or not finite, ShapeError when it has another shape.
  [[nodiscard]] MatrixTensor<float> tensor(std::string const& name, Index rows,
                                           Index columns) const {
    auto const found = require(name);
    check_shape(name, found, rows, columns);
    auto values = MatrixTensor<float>{{rows, columns}};
    read_floats(*found.tensor, {values.data(), static_cast<std::size_t>(values.size())},
                found.where());
    found.file->release(*found.tensor);
    return values;
  }

  /// A site's weight as stored. Throws as `tensor`, and for quantized parts that do not fit.
  [[nodiscard]] StoredWeight weight(Site site) const {
    return weight(weight_shape(config_.shape, site));
  }
  /// The same for any matrix or vector of the folder.
  [[nodiscard]] StoredWeight weight(TensorShape const& matrix) const {
    auto const& [name, rows, columns, is_vector] = matrix;
    if (is_vector) return FullWeight{tensor(name, rows, columns)};  // never quantized
    auto const found = require(name);
    auto const reader = detail::QuantizedReader{tensors_, found, rows, columns};
    auto const prefix = found.tensor->name + ".quant_state.bitsandbytes__";
    if (auto const state = tensors_.find(prefix + "nf4"); state.tensor != nullptr) {
      return reader.four_bit(FourBitWeight::Type::nf4, state);
    }
    if (auto const state = tensors_.find(prefix + "fp4"); state.tensor != nullptr) {
      return reader.four_bit(FourBitWeight::Type::fp4, state);
    }
    if (found.tensor->dtype == Dtype::i8) return reader.int8();
    return FullWeight{tensor(name, rows, columns)};
  }

 private:
  ModelFolder(std::filesystem::path path, EsmConfig const& config, TensorSet tensors)
      : path_{std::move(path)}, config_{config}, tensors_{std::move(tensors)} {
    for (auto const& tensor : encoder_tensors(config_.shape)) check(tensor);
    auto const classifier = find("classifier.weight").tensor != nullptr;
    if (classifier != (find("classifier.bias").tensor != nullptr)) {
      throw InputError{at(tensors_.path().string(),
                          "expected classifier.weight and classifier.bias, found one of them")};
    }
    has_classifier_ = classifier;
    if (classifier) {
      check(weight_shape(config_.shape, classifier_site()));
      check({"classifier.bias", 1, 2, true});
    }
    refuse_more_layers();
  }

  static EsmConfig read_config(std::filesystem::path const& path) {
    auto ignored = std::error_code{};
    if (!std::filesystem::is_directory(path, ignored)) {
      auto const pickled = path.extension() == ".bin";
      throw InputError{at(path.string(), pickled
                                             ? "expected a model folder of safetensors, found a "
                                               "file of pickles; convert it with `qlora import`"
                                             : "expected a model folder, found none")};
    }
    if (!std::filesystem::exists(path / "config.json", ignored) &&
        std::filesystem::exists(path / "adapter_config.json", ignored)) {
      throw InputError{at(path.string(), "expected a model folder, found a PEFT adapter")};
    }
    return EsmConfig::read(path / "config.json");
  }

  static TensorSet open_tensors(std::filesystem::path const& path) {
    auto ignored = std::error_code{};
    auto const has = [&](char const* name) {
      return std::filesystem::exists(path / name, ignored);
    };
    if (has("model.safetensors")) return TensorSet::open(path / "model.safetensors");
    if (has("model.safetensors.index.json")) {
      return TensorSet::open_sharded(path / "model.safetensors.index.json");
    }
    if (has("pytorch_model.bin") || has("pytorch_model.bin.index.json")) {
      throw InputError{at(path.string(),
                          "expected model.safetensors, found pytorch_model.bin; convert "
                          "the folder with `qlora import`")};
    }
    throw InputError{
        at(path.string(),
           "expected model.safetensors or model.safetensors.index.json, found neither")};
  }

  /// Looks a canonical name up under the spellings in use: with or without the leading "esm.", and
  /// for LayerNorms gamma and beta. Throws InputError for one that is there twice.
  [[nodiscard]] TensorSet::Found find(std::string const& name) const {
    auto spellings = std::vector{name};
    if (auto const norm = name.find("LayerNorm."); norm != name.npos) {
      auto const stem = name.substr(0, norm + 10);
      spellings.push_back(stem + (name.ends_with("weight") ? "gamma" : "beta"));
    }
    auto result = TensorSet::Found{nullptr, nullptr};
    auto const look_up = [&](std::string const& spelling) {
      auto const found = tensors_.find(spelling);
      if (found.tensor != nullptr && result.tensor != nullptr) {
        throw InputError{at(tensors_.path().string(),
                            "tensor \"" + name + "\": found twice, as \"" + result.tensor->name +
                                "\" and as \"" + spelling + "\"")};
      }
      if (found.tensor != nullptr) result = found;
    };
    for (auto const& spelling : spellings) {
      look_up(spelling);
      if (spelling.starts_with("esm.")) look_up(spelling.substr(4));
    }
    return result;
  }

  [[nodiscard]] TensorSet::Found require(std::string const& name) const {
    auto const found = find(name);
    if (found.tensor == nullptr) {
      throw InputError{at(tensors_.path().string(), "tensor \"" + name + "\" is absent")};
    }
    return found;
  }

  static void check_shape(std::string const& name, TensorSet::Found found, Index rows,
                          Index columns) {
    auto const& shape = found.tensor->shape;
    if (shape == Extents{rows, columns} || (rows == 1 && shape == Extents{columns})) return;
    throw ShapeError{detail::place_of(name) + ": expected " +
                     shape_text(rows == 1 ? Extents{columns} : Extents{rows, columns}) + ", got " +
                     shape_text(shape) + " (" + found.where() + ")"};
  }

  /// Checks a tensor's presence and, unless it is 4-bit (its parts are checked when read), its
  /// shape.
  void check(TensorShape const& tensor) const {
    auto const found = require(tensor.name);
    auto const is_code = found.tensor->dtype == Dtype::u8 && !tensor.is_vector;
    if (!is_code) check_shape(tensor.name, found, tensor.rows, tensor.columns);
  }

  /// A configuration of fewer layers than the file would silently compute another model.
  void refuse_more_layers() const {
    constexpr auto prefix = std::string_view{"encoder.layer."};
    for (auto const& file : tensors_.files()) {
      for (auto const& tensor : file.tensors()) {
        auto name = std::string_view{tensor.name};
        if (name.starts_with("esm.")) name.remove_prefix(4);
        if (!name.starts_with(prefix)) continue;
        name.remove_prefix(prefix.size());
        auto layer = Index{-1};  // stays so for "encoder.layer.*.attention..."
        std::from_chars(name.data(), name.data() + name.size(), layer);
        if (layer >= config_.shape.layers) {
          throw InputError{
              at(file.path().string(), "expected " + std::to_string(config_.shape.layers) +
                                           " layers as in config.json, found tensor \"" +
                                           printable(tensor.name) + "\"")};
        }
      }
    }
  }

  std::filesystem::path path_;
  EsmConfig config_;
  TensorSet tensors_;
  bool has_classifier_ = false;
};

}  // namespace qlora::inline v1
