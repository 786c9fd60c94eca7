/// Between a model's trained parameters and a PEFT adapter.
#pragma once

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/adapt/peft.hpp>
#include <qlora/adapt/placement.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/model/folder.hpp>

namespace qlora::inline v1 {

namespace detail {

/// Calls `matrix(path, is_a, entry)` for each LoRA factor of a model, and `head(is_bias, entry)`
/// for the classifier's own tensors.
template <class Network, class Matrix, class Head>
void for_each_trained(Network const& network, Matrix&& matrix, Head&& head) {
  for (auto const& entry : network.parameters().entries()) {
    auto path = std::string_view{entry.name}.substr(peft::prefix.size());
    if (path == "classifier.weight" || path == "classifier.bias") {
      head(path.ends_with("bias"), entry);
      continue;
    }
    auto const is_a = path.ends_with(".lora_A.weight");
    path.remove_suffix(std::string_view{".lora_A.weight"}.size());
    matrix(std::string{path}, is_a, entry);
  }
}

/// Throws InputError unless a model has LoRA where the adapter has it, of its rank and its scale.
template <class Network>
void check_lora(Network const& network, PeftAdapter const& adapter, std::string_view file) {
  auto slots = std::set<std::string>{};
  for_each_trained(
      network, [&](std::string path, bool, auto const&) { slots.insert(std::move(path)); },
      [](bool, auto const&) {});
  for (auto const& path : slots) {
    if (adapter.pairs.contains(path)) continue;
    throw InputError{at(file, path + ": expected LoRA factors, found none")};
  }
  for (auto const& [path, pair] : adapter.pairs) {
    if (slots.contains(path)) continue;
    throw InputError{
        at(file, path + ": found LoRA factors for a module that the model leaves as it is")};
  }
  if (slots.empty()) return;  // nothing that rank or scale would change
  auto const expect = [&](std::string const& what, auto expected, auto found) {
    if (expected == found) return;
    throw InputError{at(file, what + ": expected " + Json(expected).dump() +
                                  " as in the model, found " + Json(found).dump())};
  };
  expect("rank", network.lora().rank, adapter.config.lora.rank);
  expect("scale", network.lora().scale(), adapter.config.lora.scale());
}

}  // namespace detail

/// Where an adapter sits, as a placement for a model that is to hold it.
inline placement::Sites placement_of(PeftAdapter const& adapter) {
  auto paths = std::vector<std::string>{};
  for (auto const& [path, pair] : adapter.pairs) paths.push_back(path);
  return {"adapter", [paths = std::move(paths)](Site site) {
            return std::ranges::binary_search(paths, module_path(site));
          }};
}

/// `PeftAdapter::check` against a model of that shape.
inline std::vector<std::string> check_adapter(PeftAdapter const& adapter,
                                              nn::EncoderShape const& shape,
                                              std::string_view file) {
  auto const shape_of = [&](Site site) {
    auto const weight = weight_shape(shape, site);
    return Extents{weight.rows, weight.columns};
  };
  return adapter.check(static_cast<int>(shape.layers), shape_of, file);
}

/// The adapters and the classifier of a model as a PEFT adapter for the base model of that name.
/// LoRA on the classifier is folded into it. Throws DivergedError for numbers that are not finite.
template <class Network>
PeftAdapter export_adapter(Network const& network, std::string const& base_model) {
  auto const& parameters = network.parameters();
  auto const values_of = [&](auto const& entry) {
    auto const stored = on_host(parameters.value(entry));
    auto const view = Vector<typename Network::A const>{stored};
    auto values = std::vector<float>(static_cast<std::size_t>(view.size()));
    std::transform(view.begin(), view.end(), values.begin(),
                   [](auto value) { return static_cast<float>(value); });
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
      throw DivergedError{entry.name + ": expected finite numbers, found NaN or infinity"};
    }
    return values;
  };
  auto adapter = PeftAdapter{};
  auto& config = adapter.config;
  config.lora = network.lora();
  config.base_model = base_model;
  config.modules_to_save = {"classifier"};
  adapter.head = {Network::classes, network.shape().hidden, {}, {}};
  detail::for_each_trained(
      network,
      [&](std::string const& path, bool is_a, auto const& entry) {
        auto& pair = adapter.pairs[path];
        (is_a ? pair.in : pair.out) = is_a ? entry.columns : entry.rows;
        (is_a ? pair.a : pair.b) = values_of(entry);
      },
      [&](bool is_bias, auto const& entry) {
        (is_bias ? adapter.head->bias : adapter.head->weight) = values_of(entry);
      });
  adapter.fold_classifier();
  config.target_modules =
      peft::targets_of(placement_of(adapter), static_cast<int>(network.shape().layers));
  return adapter;
}

/// Copies an adapter's values into a model built with its LoRA options and `placement_of` it; an
/// adapter without a classifier leaves the model's. `file` names the adapter in messages. Returns
/// the targets that match no module. Throws InputError when the adapter does not fit, ShapeError
/// when a tensor has another size.
template <class Network>
std::vector<std::string> import_adapter(Network& network, PeftAdapter const& adapter,
                                        std::string_view file) {
  auto const unmatched = check_adapter(adapter, network.shape(), file);
  detail::check_lora(network, adapter, file);
  auto const set = [&](auto const& entry, std::vector<float> const& from) {
    auto const to = network.parameters().value(entry);
    if (static_cast<Index>(from.size()) != to.size()) {
      throw ShapeError{at(file, entry.name + ": expected " + std::to_string(to.size()) +
                                    " elements, got " + std::to_string(from.size()))};
    }
    auto const values = VectorTensor<typename Network::A>{{to.size()}};
    std::transform(from.begin(), from.end(), values.data(),
                   [](float value) { return static_cast<typename Network::A>(value); });
    transfer(values.view(), to);
  };
  detail::for_each_trained(
      network,
      [&](std::string const& path, bool is_a, auto const& entry) {
        auto const& pair = adapter.pairs.at(path);
        set(entry, is_a ? pair.a : pair.b);
      },
      [&](bool is_bias, auto const& entry) {
        if (adapter.head) set(entry, is_bias ? adapter.head->bias : adapter.head->weight);
      });
  return unmatched;
}

}  // namespace qlora::inline v1
