/// The frozen weights of a model folder, quantized on the way in, or expanded.
#pragma once

#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <qlora/adapt/placement.hpp>
#include <qlora/core/error.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/quant/bitsandbytes.hpp>
#include <qlora/quant/dequantize.hpp>
#include <qlora/quant/quantize.hpp>

namespace qlora::inline v1 {

/// A source of weights for `Esm2`: full-precision matrices of the folder are quantized by the
/// scheme; matrices that are quantized already stay as they are, and must then be of that scheme,
/// unless it is chosen at run time.
template <Quantization Scheme>
class FrozenWeights {
 public:
  FrozenWeights(ModelFolder const& folder, Scheme const& scheme)
      : folder_{folder}, scheme_{scheme} {}

  MatrixTensor<float> tensor(std::string const& name, Index rows, Index columns) const {
    return folder_.tensor(name, rows, columns);
  }

  Quantized<Scheme> weight(Site site, Index, Index) const {
    auto const tensor = weight_shape(folder_.config().shape, site);
    return std::visit([&](auto const& stored) { return hold(stored, tensor.name); },
                      folder_.weight(tensor));
  }

  /// A weight of the folder, by its name, as a model holds it.
  Quantized<Scheme> hold(FullWeight const& weight, std::string_view tensor) const {
    return located<InputError>(place_of(tensor), [&] { return quantize(scheme_, weight.values); });
  }
  Quantized<Scheme> hold(FourBitWeight const& weight, std::string_view tensor) const {
    auto const place = place_of(tensor);
    auto const* const name = weight.type == FourBitWeight::Type::nf4 ? "nf4" : "fp4";
    auto parts = quant::Serialized{.codes = weight.codes,
                                   .absmax = weight.absmax,
                                   .quant_map = weight.map,
                                   .rounding = rounding_to(weight.dtype)};
    if (weight.nested) {
      if (weight.nested->block != quant::nested_block) {
        throw InputError{at(place, "expected nested blocks of " +
                                       std::to_string(quant::nested_block) + ", found " +
                                       std::to_string(weight.nested->block))};
      }
      parts.absmax_codes = weight.nested->codes;
      parts.nested_absmax = weight.nested->absmax;
      parts.nested_quant_map = weight.nested->map;
      parts.nested_offset = weight.nested->offset;
    }
    auto const scheme = stored_scheme(name, weight.block, place);
    return quant::from_serialized(scheme, weight.rows, weight.columns, parts, place);
  }
  Quantized<Scheme> hold(Int8Weight const& weight, std::string_view tensor) const {
    auto const place = place_of(tensor);
    auto const codes = std::as_bytes(std::span{weight.codes});
    auto const parts = quant::Serialized{
        .codes = {reinterpret_cast<std::uint8_t const*>(codes.data()), codes.size()},
        .absmax = weight.absmax};
    auto const scheme = stored_scheme("int8", quant::per_row, place);
    return quant::from_serialized(scheme, weight.rows, weight.columns, parts, place);
  }

 private:
  std::string place_of(std::string_view tensor) const {
    return detail::place_of(tensor) + " (" + folder_.path().string() + ")";
  }

  static quant::Rounding rounding_to(Dtype dtype) {
    if (dtype == Dtype::f16) return quant::Rounding::half;
    return dtype == Dtype::bf16 ? quant::Rounding::bf16 : quant::Rounding::none;
  }

  Scheme stored_scheme(std::string_view name, Index block, std::string_view place) const {
    auto scheme = scheme_;
    if constexpr (quant::Choice<Scheme>) scheme = Scheme::parse(name);
    if (scheme.name != name || scheme.block != block) {
      throw InputError{at(place, "expected " + std::string{scheme.name} + " with blocks of " +
                                     std::to_string(scheme.block) + ", found " + std::string{name} +
                                     " with blocks of " + std::to_string(block))};
    }
    return scheme;
  }

  ModelFolder const& folder_;
  Scheme scheme_;
};

/// A weight of the folder in full precision, expanded where it is stored quantized. Throws as
/// `ModelFolder::weight`.
inline MatrixTensor<float> full_weight(ModelFolder const& folder, TensorShape const& tensor) {
  auto stored = folder.weight(tensor);
  return std::visit(
      [&]<class Stored>(Stored& weight) {
        if constexpr (std::same_as<Stored, FullWeight>) {
          return std::move(weight.values);
        } else {
          auto values = MatrixTensor<float>{{tensor.rows, tensor.columns}};
          dequantize(FrozenWeights{folder, quant::Any{}}.hold(weight, tensor.name), values.view());
          return values;
        }
      },
      stored);
}

}  // namespace qlora::inline v1
