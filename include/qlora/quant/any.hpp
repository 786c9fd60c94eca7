/// The quantization chosen at run time: satisfies the same concept, and runs the code of the one
/// that it stands for.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <qlora/core/error.hpp>
#include <qlora/quant/fp4.hpp>
#include <qlora/quant/full.hpp>
#include <qlora/quant/int8.hpp>
#include <qlora/quant/nf4.hpp>
#include <qlora/quant/scheme.hpp>

namespace qlora::inline v1::quant {

class Any {
  using Schemes = std::variant<Full<float>, Nf4<64>, Fp4<64>, Int8>;

 public:
  std::string_view name = Full<float>::name;
  int bits = Full<float>::bits;
  Index block = Full<float>::block;
  bool double_quantized = Full<float>::double_quantized;

  /// Full<float>.
  Any() = default;

  template <class S>
  requires(!std::same_as<S, Any> && std::constructible_from<Schemes, S>)
      Any(S scheme)  // NOLINT(google-explicit-constructor)
      : name{S::name},
        bits{S::bits},
        block{S::block},
        double_quantized{S::double_quantized},
        scheme_{scheme} {}

  /// The scheme of that name. Throws InputError that lists the names.
  static Any parse(std::string_view name) {
    return parse(name, std::make_index_sequence<std::variant_size_v<Schemes>>{});
  }

  /// Calls `body` with the scheme.
  template <class Body>
  decltype(auto) visit(Body&& body) const {
    return std::visit(std::forward<Body>(body), scheme_);
  }

 private:
  template <std::size_t... Is>
  static Any parse(std::string_view name, std::index_sequence<Is...>) {
    auto found = Any{};
    auto const known = ((std::variant_alternative_t<Is, Schemes>::name == name
                             ? (found = Any{std::variant_alternative_t<Is, Schemes>{}}, true)
                             : false) ||
                        ...);
    if (known) return found;
    auto names = std::string{};
    ((names += " " + std::string{std::variant_alternative_t<Is, Schemes>::name}), ...);
    throw InputError{"quantization: expected one of" + names + ", found " + std::string{name}};
  }

  Schemes scheme_;
};

}  // namespace qlora::inline v1::quant
