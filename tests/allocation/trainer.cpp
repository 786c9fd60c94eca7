// Steps of training take no memory. Allocations that oneDNN makes within its library are its own
// affair; that none of them stays is seen in the heap.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/esm2.hpp>

#include "allocation/counted.hpp"

namespace qlora::test {
namespace {

struct Setting {
  char const* scheme;
  placement::Sites placement;
  Keep keep;
};

std::vector<Setting> settings() {
  auto all = std::vector<Setting>{};
  for (auto const* const scheme : {"none", "nf4"}) {
    for (auto const& placement : {placement::Sites::of(Qkv{}), placement::Sites::of(AllLinear{})}) {
      for (auto const keep : {Keep::everything, Keep::inputs}) {
        all.push_back({scheme, placement, keep});
      }
    }
  }
  return all;
}

template <class Products>
class Steps : public ::testing::Test {
 public:
  using Study =
      Experiment<model::Dynamic, quant::Any, placement::Sites, CardMetrics, backend::Cpu<Products>>;

  // On one thread: with more, chance says which thread meets a size for the first time.
  Steps() { thread_count() = 1; }
  ~Steps() override { thread_count() = threads_; }

  /// Calls `body(trainer, steps)` with the steps of two epochs of batches of several sizes, the
  /// first of which has been taken.
  template <class Body>
  void warm(Setting const& setting, Body&& body) {
    SCOPED_TRACE(std::string{setting.scheme} + " " + setting.placement.name);
    auto const data = read_binding_sites(std::string{QLORA_TEST_DATA} + "/train/data.txt");
    auto study =
        Study::load(std::string{QLORA_TEST_DATA} + "/models/odd", {.rank = 3, .dropout = .5f},
                    quant::Any::parse(setting.scheme), setting.placement);
    auto const options = FitOptions{
        .batch = {.sequences = 7}, .accumulate = 2, .order = Order::as_given, .keep = setting.keep};
    auto trainer = Trainer{study.backend(), study.network(), std::span{data}, options};
    auto const plan = EpochPlan{data, options.batch, options.order, 0, 0};
    auto step = std::int64_t{0};
    auto const epoch = [&] {
      for (auto i = std::size_t{0}; i < plan.steps(); ++i) trainer.learn(plan.step(i), step++, 0);
    };
    epoch();
    body(epoch);
  }

 private:
  int threads_ = thread_count();
};

struct ProductNames {
  template <class Products>
  static std::string GetName(int) {
    return std::same_as<Products, EigenProducts> ? "Eigen" : "OneDnn";
  }
};
#if defined(QLORA_HAS_ONEDNN)
using AllProducts = ::testing::Types<EigenProducts, OneDnnProducts>;
#else
using AllProducts = ::testing::Types<EigenProducts>;
#endif
TYPED_TEST_SUITE(Steps, AllProducts, ProductNames);

TEST(Count, SeesWhatThisProgramAllocates) {
  auto const before = allocations;
  auto const tensor = VectorTensor<float>{{8}};
  auto const list = std::vector<int>(3);
  int const* const volatile seen = list.data();  // else a compiler may leave the list out
  EXPECT_EQ(*seen, 0);
  EXPECT_EQ(allocations - before, 2);
}

/// A tile of the larger models, whose operands Eigen would copy into memory from the heap.
template <class T>
void expect_product_from_the_stack() {
  auto const zeros = [](Index rows, Index columns) {
    auto matrix = MatrixTensor<T>{{rows, columns}};
    std::fill_n(matrix.data(), matrix.size(), T{0});
    return matrix;
  };
  auto const x = zeros(256, 600);
  auto const w = zeros(500, 600);
  auto const y = zeros(256, 500);
  auto const before = allocations;
  auto products = EigenProducts{};
  products.multiply_transposed(Matrix<T const>{x}, Matrix<T const>{w}, Vector<T const>{}, y.view(),
                               Write::assign);
  products.multiply(Matrix<T const>{y}, Matrix<T const>{w}, x.view(), Write::accumulate);
  EXPECT_EQ(allocations - before, 0);
}

TEST(EigenProducts, OfLargeTilesTakeTheStack) {
  expect_product_from_the_stack<float>();
  expect_product_from_the_stack<double>();
}

TYPED_TEST(Steps, AllocateNothing) {
  for (auto const& setting : settings()) {
    this->warm(setting, [](auto const& epoch) {
      auto const before = allocations;
      epoch();
      EXPECT_EQ(allocations - before, 0);
    });
  }
}

TYPED_TEST(Steps, KeepTheHeapAsItIs) {
  if (heap_bytes() == 0) GTEST_SKIP() << "this build's allocator keeps no statistics";
  this->warm(settings().back(), [](auto const& epoch) {
    auto const before = heap_bytes();
    for (auto i = 0; i < 6; ++i) epoch();  // 30 steps
    EXPECT_LE(heap_bytes(), before);
  });
}

}  // namespace
}  // namespace qlora::test
