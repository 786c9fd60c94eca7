/// PEFT adapter folders: `adapter_config.json` and `adapter_model.safetensors`.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <qlora/adapt/peft_config.hpp>
#include <qlora/adapt/placement.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/core/safetensors_writer.hpp>
#include <qlora/core/tensor_file.hpp>

namespace qlora::inline v1 {

/// An adapter in memory, with modules named as in the base model.
struct PeftAdapter {
  /// The two factors of one module.
  struct Pair {
    Index in = 0;
    Index out = 0;
    std::vector<float> a;  ///< (rank, in)
    std::vector<float> b;  ///< (out, rank)

    /// weight (out, in) += scale B A, summed in double.
    void add_to(std::span<float> weight, double scale) const;
  };
  /// A classifier trained in full.
  struct Head {
    Index classes = 0;
    Index in = 0;
    std::vector<float> weight;  ///< (classes, in)
    std::vector<float> bias;    ///< (classes)
  };

  PeftConfig config;
  std::map<std::string, Pair> pairs;  ///< by path, "esm.encoder.layer.0.attention.self.query" say
  std::optional<Head> head;

  /// Reads a folder. Throws InputError for what is no LoRA of an ESM-2 encoder and classifier, for
  /// a factor without its other, for a rank other than the configuration's, and for NaN. LoRA on a
  /// classifier that is saved as well, which old versions of PEFT wrote, is folded into it.
  static PeftAdapter read(std::filesystem::path const& folder);
  /// The same from a configuration and tensors that were opened by the caller.
  static PeftAdapter from(PeftConfig config, TensorFile const& tensors);

  /// Checks that the adapter fits a base model of `layers` layers, whose `shape_of(Site)` gives
  /// {out, in}, and that its tensors are those of the modules its configuration names. Returns the
  /// targets that match no module; only the card's own may. Throws InputError, ShapeError where
  /// shapes differ; `file` names the adapter in messages.
  template <class ShapeOf>
  std::vector<std::string> check(int layers, ShapeOf&& shape_of, std::string_view file) const;

  /// Adds the LoRA on the classifier, if there is any, to the classifier, which must be there too:
  /// PEFT cannot hold both.
  void fold_classifier();

  /// Writes a folder that PEFT loads. Throws SystemError when it cannot.
  void write(std::filesystem::path const& folder) const;
};

/// Writes an adapter folder from tensors that are already named as PEFT names them.
inline void write_peft(std::filesystem::path const& folder, PeftConfig const& config,
                       std::span<StoredTensor const> tensors) {
  create_folder(folder);
  write_safetensors(folder / "adapter_model.safetensors", tensors);
  write_atomically(folder / "adapter_config.json",
                   config.to_json().dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

namespace peft {

/// The encoder's matrix at `path`, if it is one.
inline std::optional<Site> find_site(std::string_view path) {
  constexpr auto layers = std::string_view{"esm.encoder.layer."};
  if (!path.starts_with(layers)) return std::nullopt;
  auto site = Site{};
  auto const number = path.substr(layers.size());
  std::from_chars(number.data(), number.data() + number.size(), site.layer);
  if (site.layer < 0 || site.layer >= most_layers) return std::nullopt;
  for (auto kind = 0; kind < static_cast<int>(SiteKind::classifier); ++kind) {
    site.kind = static_cast<SiteKind>(kind);
    if (module_path(site) == path) return site;
  }
  return std::nullopt;
}

namespace detail {

/// Sorts the tensors of one file into factors and head.
class AdapterReader {
 public:
  AdapterReader(TensorFile const& file, PeftAdapter& adapter)
      : file_{file}, name_{file.path().string()}, adapter_{adapter} {}

  void read() {
    for (auto const& tensor : file_.tensors()) place(tensor);
    for (auto const& [module, pair] : adapter_.pairs) {
      if (pair.a.empty() || pair.b.empty()) {
        fail(module, pair.a.empty() ? "expected lora_A beside lora_B, found none"
                                    : "expected lora_B beside lora_A, found none");
      }
    }
    read_head();
  }

 private:
  [[noreturn]] void fail(std::string_view what, std::string const& reason) const {
    throw InputError{at(name_, printable(what) + ": " + reason)};
  }

  void place(StoredTensor const& tensor) {
    auto path = std::string_view{tensor.name};
    if (!path.starts_with(prefix)) fail(path, "expected a name that starts with base_model.model.");
    path.remove_prefix(prefix.size());
    if (path.starts_with("classifier.modules_to_save.lora_")) return check_copy(tensor);
    // Copies that old versions of PEFT keep beside a classifier, and a head this model does not
    // run.
    for (auto const idle :
         {"classifier.modules_to_save.", "classifier.original_module.", "esm.contact_head."}) {
      if (!path.starts_with(idle)) continue;
      if (is_floating(tensor.dtype)) read_floats(tensor, name_);  // that they are numbers
      return;
    }
    if (path == "classifier.weight" || path == "classifier.bias") return;
    auto const is_a = path.ends_with(".lora_A.weight");
    if (!is_a && !path.ends_with(".lora_B.weight")) {
      fail(tensor.name, "expected a LoRA factor or the classifier");
    }
    path.remove_suffix(std::string_view{".lora_A.weight"}.size());
    if (path != "classifier" && !find_site(path)) {
      fail(tensor.name, "expected a linear layer of the encoder, or the classifier");
    }
    auto const rank = adapter_.config.lora.rank;
    auto const& shape = tensor.shape;
    if (shape.size() != 2 || shape[is_a ? 0 : 1] != rank || shape[is_a ? 1 : 0] == 0) {
      fail(tensor.name, "expected rank " + std::to_string(rank) +
                            " as in adapter_config.json, got " + shape_text(shape));
    }
    auto& pair = adapter_.pairs[std::string{path}];
    (is_a ? pair.in : pair.out) = shape[is_a ? 1 : 0];
    (is_a ? pair.a : pair.b) = read_floats(tensor, name_);
  }

  /// Old versions of PEFT save LoRA on a saved classifier under two names. Were they to differ,
  /// nothing would say which one counts.
  void check_copy(StoredTensor const& copy) const {
    auto name = copy.name;
    constexpr auto infix = std::string_view{"modules_to_save."};
    name.erase(name.find(infix), infix.size());
    auto const original = file_.find(name);
    if (original == nullptr || original->dtype != copy.dtype || original->shape != copy.shape ||
        !std::ranges::equal(original->bytes, copy.bytes)) {
      fail(copy.name, "expected a copy of " + printable(name) + ", found other numbers");
    }
  }

  void read_head() {
    auto const weight = file_.find(std::string{prefix} + "classifier.weight");
    auto const bias = file_.find(std::string{prefix} + "classifier.bias");
    if ((weight == nullptr) != (bias == nullptr)) {
      fail("classifier", "expected weight and bias, found one of them");
    }
    if (weight == nullptr) {
      auto const& saved = adapter_.config.modules_to_save;
      if (std::ranges::count(saved, "classifier") == 0) return;
      fail(std::string{prefix} + "classifier.weight",
           "expected the head that modules_to_save promises, found none");
    }
    if (weight->shape.size() != 2 || bias->shape != Extents{weight->shape[0]}) {
      fail("classifier", "expected a matrix and a bias of as many rows, got " +
                             shape_text(weight->shape) + " and " + shape_text(bias->shape));
    }
    adapter_.head = {weight->shape[0], weight->shape[1], read_floats(*weight, name_),
                     read_floats(*bias, name_)};
    if (auto const found = adapter_.pairs.find("classifier"); found != adapter_.pairs.end()) {
      auto const& [in, out, a, b] = found->second;
      auto const& head = *adapter_.head;
      if (in != head.in || out != head.classes) {
        fail("classifier", "expected LoRA factors for " + shape_text({head.classes, head.in}) +
                               ", got " + shape_text({out, in}));
      }
      adapter_.fold_classifier();
      if (!all_finite(adapter_.head->weight)) {
        fail("classifier", "expected finite weights after folding, found infinity");
      }
    }
  }

  TensorFile const& file_;
  std::string name_;
  PeftAdapter& adapter_;
};

}  // namespace detail
}  // namespace peft

inline PeftAdapter PeftAdapter::read(std::filesystem::path const& folder) {
  auto ignored = std::error_code{};
  auto const has = [&](char const* name) {
    return std::filesystem::exists(folder / name, ignored);
  };
  if (folder.extension() == ".bin") {
    throw InputError{at(folder.string(),
                        "expected an adapter folder, found a file of pickles; convert its folder "
                        "with `qlora import`")};
  }
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw InputError{at(folder.string(), "expected an adapter folder, found none")};
  }
  if (!has("adapter_model.safetensors") && has("adapter_model.bin")) {
    throw InputError{at(folder.string(),
                        "expected adapter_model.safetensors, found adapter_model.bin; "
                        "convert the folder with `qlora import`")};
  }
  auto config = PeftConfig::read(folder / "adapter_config.json");
  return from(std::move(config), SafetensorsFile{folder / "adapter_model.safetensors"});
}

inline PeftAdapter PeftAdapter::from(PeftConfig config, TensorFile const& tensors) {
  auto adapter = PeftAdapter{};
  adapter.config = std::move(config);
  peft::detail::AdapterReader{tensors, adapter}.read();
  return adapter;
}

template <class ShapeOf>
std::vector<std::string> PeftAdapter::check(int layers, ShapeOf&& shape_of,
                                            std::string_view file) const {
  auto const check_shape = [&](std::string const& what, Extents const& expected,
                               Extents const& got) {
    if (expected == got) return;
    throw ShapeError{
        at(file, what + ": expected " + shape_text(expected) + ", got " + shape_text(got))};
  };
  auto const classifier = Site{layers, SiteKind::classifier};
  if (head) check_shape("classifier", shape_of(classifier), {head->classes, head->in});
  for (auto const& [path, pair] : pairs) {
    auto const site = path == "classifier" ? classifier : peft::find_site(path).value();
    if (site.layer > layers || (site.layer == layers && site != classifier)) {
      throw InputError{at(file, path + ": expected a layer below " + std::to_string(layers))};
    }
    check_shape(path, shape_of(site), {pair.out, pair.in});
  }

  for (auto layer = 0; layer < layers; ++layer) {
    for (auto kind = 0; kind < static_cast<int>(SiteKind::classifier); ++kind) {
      auto const path = module_path({layer, static_cast<SiteKind>(kind)});
      auto const adapts = located<InputError>(file, [&] { return config.adapts(path); });
      if (adapts != pairs.contains(path)) {
        throw InputError{
            at(file,
               path + (pairs.contains(path) ? ": found LoRA factors for a module that is no target"
                                            : ": expected LoRA factors for a target, found none"))};
      }
    }
  }
  auto unmatched =
      located<InputError>(file, [&] { return peft::unmatched(config.target_modules, layers); });
  for (auto const& name : unmatched) {
    if (std::ranges::count(CardLiteral::targets, name) != 0) continue;
    throw InputError{
        at(file, "target_modules: \"" + printable(name) + "\" matches no module of the model")};
  }
  return unmatched;
}

inline void PeftAdapter::Pair::add_to(std::span<float> weight, double scale) const {
  auto const columns = static_cast<std::size_t>(in);
  auto const rank = a.size() / columns;
  parallel_for(out, [&](Index row, int) {
    auto const* const factors = b.data() + static_cast<std::size_t>(row) * rank;
    auto* const sums_to = weight.data() + static_cast<std::size_t>(row) * columns;
    auto sums = std::vector<double>(columns);
    for (auto r = std::size_t{0}; r < rank; ++r) {
      for (auto j = std::size_t{0}; j < columns; ++j) {
        sums[j] += double{factors[r]} * double{a[r * columns + j]};
      }
    }
    for (auto j = std::size_t{0}; j < columns; ++j) {
      sums_to[j] = static_cast<float>(sums_to[j] + scale * sums[j]);
    }
  });
}

inline void PeftAdapter::fold_classifier() {
  auto const pair = pairs.extract("classifier");
  if (pair) pair.mapped().add_to(head->weight, config.lora.scale());
}

inline void PeftAdapter::write(std::filesystem::path const& folder) const {
  auto tensors = std::vector<StoredTensor>{};
  auto const add = [&](std::string const& name, Extents shape, std::vector<float> const& values) {
    tensors.push_back(float_tensor(std::string{peft::prefix} + name, std::move(shape), values));
  };
  for (auto const& [path, pair] : pairs) {
    add(path + ".lora_A.weight", {config.lora.rank, pair.in}, pair.a);
    add(path + ".lora_B.weight", {pair.out, config.lora.rank}, pair.b);
  }
  if (head) {
    add("classifier.weight", {head->classes, head->in}, head->weight);
    add("classifier.bias", {head->classes}, head->bias);
  }
  write_peft(folder, config, tensors);
}

}  // namespace qlora::inline v1
