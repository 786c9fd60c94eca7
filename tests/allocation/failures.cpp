// Any allocation may fail: what comes is an error, and all memory is given back.
#include <new>
#include <span>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <qlora/esm2.hpp>

#include "allocation/counted.hpp"
#include "support/golden.hpp"

namespace qlora::test {
namespace {

using Cpu = backend::Cpu<EigenProducts>;

/// A model of 4 bits, trained for some steps and asked for logits. Configurations have been read:
/// nlohmann's destructor allocates, and would end the program.
void train(GoldenModel const& source, nn::EncoderShape const& shape,
           std::span<Protein const> proteins) {
  auto backend = Cpu{};
  auto model = Esm2<Cpu, Quantized<quant::Any>>{
      shape, source, placement::Sites::of(Qkv{}), {.rank = 2, .dropout = .5f}};
  auto const options = FitOptions{.epochs = 1, .batch = {.sequences = 1}};
  auto trainer = Trainer{backend, model, proteins, options};
  trainer.run([](StepRecord const&) {}, [](std::int64_t) {}, {});
  for_each_logits(backend, model, proteins, 500, [](std::size_t, Matrix<float const>) {});
}

TEST(Failures, OfEveryAllocationAreErrorsAndLeakNothing) {
  auto const threads = std::exchange(thread_count(), 1);
  auto const source = GoldenModel{"tiny", quant::Any::parse("nf4")};
  auto const shape = golden_shape("tiny");
  auto const all = read_binding_sites(golden_path("train/data.txt"));
  auto const few = std::span{all}.first(2);
  train(source, shape, few);  // what stays for good is there now
  auto const begin = objects;
  train(source, shape, few);
  auto const count = objects - begin;
  auto const before = live_objects;
  EXPECT_GT(count, 100);
  for (auto n = 1L; n <= count; ++n) {
    auto failed = false;
    failing_object = objects + n;
    try {
      train(source, shape, few);
    } catch (SystemError const& error) {
      failed = true;
      EXPECT_NE(std::string{error.what()}.find("bytes"), std::string::npos) << error.what();
    } catch (std::bad_alloc const&) {
      failed = true;
    }
    failing_object = 0;
    EXPECT_TRUE(failed) << n;
    ASSERT_EQ(live_objects, before) << n;
  }
  thread_count() = threads;
}

}  // namespace
}  // namespace qlora::test
