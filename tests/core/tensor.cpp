#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

#include <qlora/core/tensor.hpp>

namespace {
using namespace qlora;

// What converts; tests/compile_fail has what does not.
template <class From, class To>
constexpr auto converts = std::is_convertible_v<From, To>;
static_assert(converts<Matrix<float>, Matrix<float const>>);
static_assert(converts<View<float, Shape<dyn, 320>>, Matrix<float const>>);
static_assert(converts<Matrix<float>, View<float, Shape<dyn, 320>>>);
static_assert(!converts<Matrix<float>, Vector<float>>);
static_assert(!converts<Matrix<float>, Matrix<double>>);
static_assert(converts<MatrixTensor<float>, Matrix<float const>>);
static_assert(!converts<MatrixTensor<float>, Matrix<double>>);
static_assert(!std::is_copy_constructible_v<MatrixTensor<float>>);

template <class Body>
std::string refusal(Body&& body) {
  try {
    body();
  } catch (ShapeError const& error) {
    return error.what();
  }
  return "none";
}

/// Element (i, j) is 10 i + j.
MatrixTensor<int> numbered(Index rows, Index columns) {
  auto tensor = MatrixTensor<int>{{rows, columns}};
  for (auto i = Index{0}; i < rows; ++i) {
    for (auto j = Index{0}; j < columns; ++j) tensor.view()(i, j) = static_cast<int>(10 * i + j);
  }
  return tensor;
}

TEST(View, IsDenseWhenEmpty) {
  auto const vector = Vector<float>{};
  EXPECT_TRUE(vector.is_dense());
  EXPECT_EQ(vector.begin(), vector.end());
  EXPECT_TRUE(Matrix<float>{}.is_dense());
}

TEST(View, IsRowMajor) {
  auto const tensor = numbered(3, 4);
  auto const view = tensor.view();
  EXPECT_EQ(view.shape(), "3x4");
  EXPECT_EQ(view.rows(), 3);
  EXPECT_EQ(view.columns(), 4);
  EXPECT_EQ(view.size(), 12);
  EXPECT_EQ(view.stride(), 4);
  EXPECT_TRUE(view.is_dense());
  EXPECT_EQ(view.data()[7], 13);
  auto const row = view.row(2);
  EXPECT_EQ(std::accumulate(row.begin(), row.end(), 0), 20 + 21 + 22 + 23);
}

TEST(View, OfColumnsKeepsTheStride) {
  auto const tensor = numbered(4, 6);
  auto const part = tensor.view().columns(1, 3);  // (4, 3)
  EXPECT_EQ(part.shape(), "4x3");
  EXPECT_EQ(part.size(), 12);
  EXPECT_EQ(part.stride(), 6);
  EXPECT_FALSE(part.is_dense());
  EXPECT_EQ(part(3, 2), 33);
  EXPECT_EQ(part.row(2)[0], 21);
  auto const inner = part.slice(1, 2).columns(2, 1);  // (2, 1)
  EXPECT_EQ(inner(0, 0), 13);
  EXPECT_EQ(inner(1, 0), 23);
  auto const constant = Matrix<int const>{part};
  EXPECT_EQ(constant.stride(), 6);
  EXPECT_EQ(constant(3, 2), 33);
}

TEST(View, SlicesVectorsWithTheirStride) {
  auto const tensor = numbered(5, 3);
  auto const column = Vector<int>{tensor.data() + 1, {5}, 3};  // (5)
  auto const part = column.slice(2, 2);                        // (2)
  EXPECT_EQ(part[0], 21);
  EXPECT_EQ(part[1], 31);
  EXPECT_FALSE(part.is_dense());
}

TEST(View, OfThreeExtentsStridesOverTheOutermost) {
  auto const tensor = Tensor<float, Shape<2, dyn, 5>>{{2, 3, 5}};
  EXPECT_EQ(tensor.view().stride(), 15);
  EXPECT_EQ(tensor.size(), 30);
  EXPECT_EQ(tensor.view().shape(), "2x3x5");
}

TEST(View, ChecksStaticExtents) {
  auto const tensor = numbered(3, 4);
  using Four = View<int const, Shape<dyn, 4>>;
  using Five = View<int const, Shape<dyn, 5>>;
  EXPECT_EQ(Four{tensor.view()}.columns(), 4);
  EXPECT_EQ(refusal([&] { Five{tensor.view()}; }), "expected shape -1x5, got 3x4");
  EXPECT_EQ(refusal([] { Tensor<float, Shape<2, dyn>>{{3, 4}}; }), "expected shape 2x-1, got 3x4");
}

TEST(View, IsEmptyByDefault) {
  EXPECT_EQ(Matrix<float>{}.size(), 0);
  EXPECT_EQ(Matrix<float>{}.data(), nullptr);
}

TEST(Tensor, TakesItsMemoryAlongAndLeavesNoViewBehind) {
  auto first = numbered(2, 3);
  auto* const data = first.data();
  auto second = std::move(first);
  EXPECT_EQ(second.data(), data);
  // NOLINTBEGIN(bugprone-use-after-move, clang-analyzer-cplusplus.Move): it is empty
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(first.size(), 0);
  // NOLINTEND(bugprone-use-after-move, clang-analyzer-cplusplus.Move)
  auto third = numbered(4, 4);
  third = std::move(second);
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(third.size(), 6);
  // NOLINTNEXTLINE(bugprone-use-after-move, clang-analyzer-cplusplus.Move): it has third's
  EXPECT_NE(second.data(), data);
}

TEST(Tensor, RefusesWhatMemoryCannotHold) {
  constexpr auto largest = std::numeric_limits<Index>::max();
  EXPECT_EQ(refusal([] {
              MatrixTensor<float>{{-1, 2}};
            }),
            "tensor: expected a shape that memory can hold, found -1x2");
  EXPECT_NE(refusal([] { MatrixTensor<float>{{Index{1} << 32, Index{1} << 32}}; }), "none");
  EXPECT_NE(refusal([] { VectorTensor<float>{{largest}}; }), "none");
  EXPECT_EQ(refusal([] { MatrixTensor<float>{{0, largest}}; }), "none");
}

TEST(ExpectShape, NamesTheOperandAndBothShapes) {
  auto const tensor = numbered(3, 4);
  EXPECT_NO_THROW(expect_shape(tensor.view(), {3, 4}, "linear: weight"));
  EXPECT_EQ(refusal([&] {
              expect_shape(tensor.view(), {4, 3}, "linear: weight");
            }),
            "linear: weight: expected 4x3, got 3x4");
}

}  // namespace
