/// Placement policies: which weight matrices get adapters.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

namespace qlora::inline v1 {

/// The weight matrices of an encoder layer, in the order of computation, and the classifier's.
enum class SiteKind : std::uint8_t {
  query,
  key,
  value,
  attention_output,
  intermediate,
  output,
  classifier
};

/// The most that a file may ask for; the largest ESM-2 has 48.
inline constexpr int most_layers = 1'024;

/// One weight matrix of the model. The classifier's layer is that after the last.
struct Site {
  int layer = 0;
  SiteKind kind = SiteKind::query;

  /// A number that no other matrix has; it keys random numbers.
  constexpr std::uint32_t id() const {
    return static_cast<std::uint32_t>(layer * 8 + static_cast<int>(kind));
  }
  constexpr bool operator==(Site const&) const = default;
};

/// The module's name below its layer, as in Hugging Face's ESM.
constexpr std::string_view module_suffix(SiteKind kind) {
  constexpr auto names = std::array<std::string_view, 7>{"attention.self.query",
                                                         "attention.self.key",
                                                         "attention.self.value",
                                                         "attention.output.dense",
                                                         "intermediate.dense",
                                                         "output.dense",
                                                         "classifier"};
  return names[static_cast<std::size_t>(kind)];
}

/// The module's full path, as in Hugging Face's ESM.
inline std::string module_path(Site site) {
  auto suffix = std::string{module_suffix(site.kind)};
  if (site.kind == SiteKind::classifier) return suffix;
  return "esm.encoder.layer." + std::to_string(site.layer) + "." + suffix;
}

/// A placement answers whether a matrix is adapted.
template <class P>
concept Placement = requires(P const& placement, Site site) {
  { placement.adapts(site) } -> std::convertible_to<bool>;
};

/// Query, key and value: the card's first arm.
struct Qkv {
  static constexpr std::string_view name = "qkv";
  static constexpr bool adapts(Site site) { return site.kind <= SiteKind::value; }
};

/// Every weight matrix of the encoder: what the card's second arm meant.
struct AllLinear {
  static constexpr std::string_view name = "all";
  static constexpr bool adapts(Site site) { return site.kind != SiteKind::classifier; }
};

/// Query, key, value and the classifier: what the card's second arm trained, because four of its
/// eight targets name classes rather than modules and match nothing.
struct CardLiteral {
  static constexpr std::string_view name = "card";
  static constexpr bool adapts(Site site) {
    return site.kind <= SiteKind::value || site.kind == SiteKind::classifier;
  }
  /// The card's list of targets, as published.
  static constexpr std::array<std::string_view, 8> targets{"query",
                                                           "key",
                                                           "value",
                                                           "EsmSelfOutput.dense",
                                                           "EsmIntermediate.dense",
                                                           "EsmOutput.dense",
                                                           "EsmContactPredictionHead.regression",
                                                           "classifier"};
};

/// No adapter: the classifier is trained on frozen features.
struct HeadOnly {
  static constexpr std::string_view name = "head";
  static constexpr bool adapts(Site) { return false; }
};

namespace placement {

/// The runtime member of the family: any predicate over sites; without one, no adapter.
struct Sites {
  std::string name = "sites";
  std::function<bool(Site)> predicate;

  bool adapts(Site site) const { return predicate && predicate(site); }

  /// The library's placement of that name. Throws InputError that lists the names.
  static Sites parse(std::string_view name) {
    for (auto const& known : {of(Qkv{}), of(AllLinear{}), of(CardLiteral{}), of(HeadOnly{})}) {
      if (known.name == name) return known;
    }
    throw InputError{"placement: expected one of qkv all card head, found " + printable(name)};
  }

  /// A static policy as a runtime one, under its name if it has one.
  template <Placement P>
  static Sites of(P policy) {
    auto sites = Sites{.predicate = [policy](Site site) { return policy.adapts(site); }};
    if constexpr (requires { P::name; }) sites.name = P::name;
    return sites;
  }
};

}  // namespace placement
}  // namespace qlora::inline v1
