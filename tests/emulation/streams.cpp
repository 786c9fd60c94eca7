/// The emulated streams themselves: what is forgotten must show.
#include <set>
#include <string>

#include <gtest/gtest.h>

#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/stream.cuh>

namespace emulation {
namespace {

__global__ void add(int* value, int term) {
  *value += term;
}
__global__ void twice(int* value) {
  *value *= 2;
}

class Streams : public ::testing::Test {
 protected:
  void add_one(qlora::cuda::Stream const& stream) {
    qlora::cuda::launch(add, dim3{1}, dim3{1}, stream, &value_, 1);
  }
  void double_it(qlora::cuda::Stream const& stream) {
    qlora::cuda::launch(twice, dim3{1}, dim3{1}, stream, &value_);
  }
  /// Values that `body` ends with, over many orders.
  template <class Body>
  std::set<int> outcomes(Body&& body) {
    auto values = std::set<int>{};
    for (auto seed = 1u; seed <= 50; ++seed) {
      queues().random.seed(seed);
      value_ = 1;
      body();
      finish_all();
      values.insert(value_);
    }
    return values;
  }

  qlora::cuda::Stream first_, second_;
  qlora::cuda::Event event_;
  qlora::cuda::Recording recording_;
  int value_ = 1;
};

TEST_F(Streams, WorkWhenSomebodyWaits) {
  add_one(first_);
  EXPECT_EQ(value_, 1);
  first_.synchronize();
  EXPECT_EQ(value_, 2);
}

TEST_F(Streams, ShowAForgottenOrder) {
  EXPECT_EQ(outcomes([&] {
              add_one(first_);
              double_it(second_);
            }),
            (std::set{3, 4}));
  EXPECT_EQ(outcomes([&] {
              add_one(first_);
              event_.record(first_);
              second_.wait(event_);
              double_it(second_);
            }),
            std::set{4});
}

TEST_F(Streams, ReadPinnedMemoryLateAndOtherMemoryAtOnce) {
  auto pinned = qlora::cuda::PinnedBuffer{sizeof(int)};
  auto plain = 5;
  auto& first = *reinterpret_cast<int*>(pinned.data());
  first = 5;
  auto from_pinned = 0;
  auto from_plain = 0;
  cudaMemcpyAsync(&from_pinned, &first, sizeof first, cudaMemcpyDefault, first_);
  cudaMemcpyAsync(&from_plain, &plain, sizeof plain, cudaMemcpyDefault, first_);
  first = plain = 6;
  finish_all();
  EXPECT_EQ(from_pinned, 6);
  EXPECT_EQ(from_plain, 5);
}

TEST_F(Streams, ShowAForgottenOrderInARecording) {
  EXPECT_EQ(outcomes([&] {
              recording_.record(first_, second_, [&] {
                event_.record(first_);
                second_.wait(event_);
                add_one(first_);
                double_it(second_);
                event_.record(second_);
                first_.wait(event_);
              });
            }),
            (std::set{3, 4}));
}

TEST_F(Streams, RefuseARecordingThatLeavesWorkBehind) {
  EXPECT_THROW(recording_.record(first_, second_,
                                 [&] {
                                   event_.record(first_);
                                   second_.wait(event_);
                                   add_one(second_);
                                 }),
               Error);
}

TEST_F(Streams, RefuseARecordingThatWaitsForWhatIsNotInIt) {
  event_.record(second_);
  EXPECT_THROW(recording_.record(first_, second_, [&] { first_.wait(event_); }), Error);
}

TEST_F(Streams, RefuseToWaitForARecordingsInside) {
  recording_.record(first_, second_, [&] {
    event_.record(first_);
    add_one(first_);
  });
  EXPECT_THROW(second_.wait(event_), Error);
}

TEST_F(Streams, TellWhoWaitsWhatAKernelThrew) {
  auto* const nothing = static_cast<int*>(nullptr);
  enqueue(*static_cast<cudaStream_t>(first_), [] { throw Error{"a kernel's"}; });
  cudaFree(nothing);  // may not throw
  EXPECT_THROW(first_.synchronize(), Error);
  EXPECT_NO_THROW(first_.synchronize());
}

}  // namespace
}  // namespace emulation
