#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/formats/strided.hpp>

namespace qlora {
namespace {

auto const storage = std::vector<std::int16_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

std::vector<int> elements(StridedView const& view) {
  auto const bytes = view.checked_bytes(Dtype::i16, 12).value();
  auto const stored = std::as_bytes(std::span{storage});
  auto const dense = view.copy(stored, Dtype::i16, bytes);
  auto values = std::vector<std::int16_t>(bytes / 2);
  if (bytes != 0) std::memcpy(values.data(), dense.data(), bytes);
  if (view.is_dense()) {
    EXPECT_TRUE(std::ranges::equal(dense, view.dense_part(stored, Dtype::i16, bytes)));
  }
  return {values.begin(), values.end()};
}

TEST(StridedView, CopiesInRowMajorOrder) {
  EXPECT_EQ(elements({0, {2, 3}, {3, 1}}), (std::vector{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(elements({1, {3, 2}, {1, 3}}), (std::vector{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(elements({2, {2, 1, 2}, {6, 100, 2}}), (std::vector{2, 4, 8, 10}));
  EXPECT_EQ(elements({5, {2, 2}, {0, 0}}), (std::vector{5, 5, 5, 5}));
  EXPECT_EQ(elements({11, {}, {}}), (std::vector{11}));
  EXPECT_EQ(elements({12, {0, 3}, {3, 1}}), std::vector<int>{});
}

TEST(StridedView, KnowsWhatIsDense) {
  EXPECT_TRUE((StridedView{1, {2, 3}, {3, 1}}.is_dense()));
  EXPECT_TRUE((StridedView{1, {2, 1, 3}, {3, 77, 1}}.is_dense()));
  EXPECT_TRUE((StridedView{0, {}, {}}.is_dense()));
  EXPECT_FALSE((StridedView{0, {2, 3}, {1, 2}}.is_dense()));
  EXPECT_FALSE((StridedView{0, {2, 3}, {4, 1}}.is_dense()));
}

TEST(StridedView, StaysInsideItsStorage) {
  auto const refused = [](StridedView const& view) {
    return !view.checked_bytes(Dtype::i16, 12).has_value();
  };
  EXPECT_FALSE(refused({0, {12}, {1}}));
  EXPECT_TRUE(refused({1, {12}, {1}}));
  EXPECT_TRUE(refused({0, {2}, {12}}));
  EXPECT_TRUE(refused({12, {}, {}}));
  EXPECT_TRUE(refused({13, {0}, {1}}));
  EXPECT_TRUE(refused({-1, {1}, {1}}));
  EXPECT_TRUE(refused({0, {-1}, {1}}));
  EXPECT_TRUE(refused({5, {2}, {-1}}));
  EXPECT_TRUE(refused({0, {2, 2}, {1}}));
  EXPECT_TRUE(refused({0, {std::int64_t{1} << 62, 4}, {0, 0}}));
  EXPECT_TRUE(refused({0, {std::int64_t{1} << 40}, {std::int64_t{1} << 40}}));
}

}  // namespace
}  // namespace qlora
