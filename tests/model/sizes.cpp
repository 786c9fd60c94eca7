#include <gtest/gtest.h>

#include <qlora/model/sizes.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

struct Unnamed : esm2::Sizes<320, 6, 20> {};
struct OddHeadDim : esm2::Sizes<300, 6, 20> {
  static constexpr std::string_view name = "OddHeadDim";
};

static_assert(ModelSizes<esm2::T6_8M> && ModelSizes<esm2::T48_15B> && ModelSizes<model::Dynamic>);
static_assert(!ModelSizes<Unnamed> && !ModelSizes<OddHeadDim>);
static_assert(esm2::T33_650M::intermediate == 5120);

auto const small = nn::EncoderShape{.hidden = 320, .layers = 6, .heads = 20, .intermediate = 1280};

TEST(ModelSizes, AcceptsTheFolderItNames) {
  EXPECT_NO_THROW(model::check_sizes<esm2::T6_8M>(small, "f"));
  EXPECT_NO_THROW(model::check_sizes<model::Dynamic>(small, "f"));
}

TEST(ModelSizes, RefusesAnotherInASentence) {
  auto const error = [](auto change) {
    auto shape = small;
    change(shape);
    return testing::input_error_of(
        [&] { model::check_sizes<esm2::T6_8M>(shape, "m/config.json"); });
  };
  EXPECT_EQ(error([](auto& shape) { shape.hidden = 480; }),
            "T6_8M expects hidden 320, got 480 (m/config.json)");
  EXPECT_EQ(error([](auto& shape) { shape.layers = 7; }),
            "T6_8M expects layers 6, got 7 (m/config.json)");
  EXPECT_EQ(error([](auto& shape) { shape.heads = 10; }),
            "T6_8M expects heads 20, got 10 (m/config.json)");
  EXPECT_EQ(error([](auto& shape) { shape.intermediate = 1; }),
            "T6_8M expects intermediate 1280, got 1 (m/config.json)");
  EXPECT_EQ(error([](auto& shape) { shape.vocabulary = 34; }),
            "T6_8M expects vocabulary 33, got 34 (m/config.json)");
}

}  // namespace
}  // namespace qlora
