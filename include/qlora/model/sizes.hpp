/// Model policies: the sizes of an ESM-2 encoder, fixed at compile time or read from `config.json`.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include <qlora/core/error.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/nn/encoder_layer.hpp>

namespace qlora::inline v1 {

/// A model policy names the extents of an encoder; `dyn` stands for one that the folder decides.
template <class M>
concept ModelSizes = requires {
  { M::name } -> std::convertible_to<std::string_view>;
  { M::hidden } -> std::convertible_to<Index>;
  { M::layers } -> std::convertible_to<Index>;
  { M::heads } -> std::convertible_to<Index>;
  { M::intermediate } -> std::convertible_to<Index>;
  { M::vocabulary } -> std::convertible_to<Index>;
  requires M::hidden == dyn || M::heads == dyn || (M::hidden % (2 * M::heads) == 0);
};

/// The published ESM-2 models (Lin et al., doi:10.1126/science.ade2574), by layers and parameters.
namespace esm2 {

template <Index Hidden, Index Layers, Index Heads>
struct Sizes {
  static constexpr Index hidden = Hidden;
  static constexpr Index layers = Layers;
  static constexpr Index heads = Heads;
  static constexpr Index intermediate = 4 * Hidden;
  static constexpr Index vocabulary = 33;
};

struct T6_8M : Sizes<320, 6, 20> {
  static constexpr std::string_view name = "T6_8M";
};
struct T12_35M : Sizes<480, 12, 20> {
  static constexpr std::string_view name = "T12_35M";
};
struct T30_150M : Sizes<640, 30, 20> {
  static constexpr std::string_view name = "T30_150M";
};
struct T33_650M : Sizes<1280, 33, 20> {
  static constexpr std::string_view name = "T33_650M";
};
struct T36_3B : Sizes<2560, 36, 40> {
  static constexpr std::string_view name = "T36_3B";
};
struct T48_15B : Sizes<5120, 48, 40> {
  static constexpr std::string_view name = "T48_15B";
};

}  // namespace esm2

namespace model {

/// The shape that a policy fixes; what it does not say is as published.
template <ModelSizes M>
requires(M::hidden != dyn) constexpr nn::EncoderShape shape_of() {
  return {.hidden = M::hidden,
          .layers = M::layers,
          .heads = M::heads,
          .intermediate = M::intermediate,
          .vocabulary = M::vocabulary};
}

/// The runtime member of the family: every size comes from the folder.
struct Dynamic {
  static constexpr std::string_view name = "Dynamic";
  static constexpr Index hidden = dyn;
  static constexpr Index layers = dyn;
  static constexpr Index heads = dyn;
  static constexpr Index intermediate = dyn;
  static constexpr Index vocabulary = dyn;
};

/// Throws ShapeError unless `shape`, read from `file`, is what the policy M fixes.
template <class M>
void check_sizes(nn::EncoderShape const& shape, std::string_view file) {
  static_assert(
      ModelSizes<M>,
      "a model policy needs static constexpr name, hidden, layers, heads, intermediate and "
      "vocabulary, and hidden / heads must be even; see model/sizes.hpp");
  auto const check = [&](std::string_view what, Index expected, Index got) {
    if (expected == dyn || expected == got) return;
    throw ShapeError{std::string{M::name} + " expects " + std::string{what} + " " +
                     std::to_string(expected) + ", got " + std::to_string(got) + " (" +
                     std::string{file} + ")"};
  };
  check("hidden", M::hidden, shape.hidden);
  check("layers", M::layers, shape.layers);
  check("heads", M::heads, shape.heads);
  check("intermediate", M::intermediate, shape.intermediate);
  check("vocabulary", M::vocabulary, shape.vocabulary);
}

}  // namespace model
}  // namespace qlora::inline v1
