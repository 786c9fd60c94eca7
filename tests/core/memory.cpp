#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

#include <qlora/core/memory.hpp>

// Sanitizers end the program at an allocation that is too large unless told otherwise.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" char const* __asan_default_options() {
  return "allocator_may_return_null=1";
}
extern "C" char const* __tsan_default_options() {
  return "allocator_may_return_null=1";
}
// NOLINTEND(bugprone-reserved-identifier)

namespace qlora::inline v1 {

/// Stands in for a device: remembers what has not been given back.
template <>
struct Memory<Space::device> {
  inline static std::set<std::byte*> live;

  static std::byte* allocate(std::size_t bytes) { return *live.insert(new std::byte[bytes]).first; }
  static void deallocate(std::byte* data, std::size_t) noexcept {
    EXPECT_EQ(live.erase(data), 1u);
    delete[] data;
  }
};

}  // namespace qlora::inline v1

namespace {
using namespace qlora;

TEST(Buffer, IsAlignedAndWritable) {
  auto const buffer = Buffer<Space::host>{65};
  EXPECT_EQ(buffer.bytes(), 65u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment_bytes, 0u);
  std::memset(buffer.data(), 7, buffer.bytes());
  EXPECT_EQ(buffer.data()[64], std::byte{7});
}

TEST(Buffer, OfNothingAllocatesNothing) {
  EXPECT_EQ(Buffer<Space::host>{0}.data(), nullptr);
  EXPECT_EQ(Buffer<Space::host>{}.bytes(), 0u);
}

TEST(Buffer, MovesWithoutCopying) {
  static_assert(!std::is_copy_constructible_v<Buffer<Space::host>>);
  auto first = Buffer<Space::host>{16};
  auto* const data = first.data();
  auto const second = std::move(first);
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(second.bytes(), 16u);
  // NOLINTBEGIN(bugprone-use-after-move, clang-analyzer-cplusplus.Move): it is empty
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(first.bytes(), 0u);
  // NOLINTEND(bugprone-use-after-move, clang-analyzer-cplusplus.Move)
}

TEST(Buffer, GivesEachAllocationBackOnce) {
  using DeviceBuffer = Buffer<Space::device>;
  auto const& live = Memory<Space::device>::live;
  {
    auto first = DeviceBuffer{8};
    auto second = DeviceBuffer{16};
    second = std::move(first);
    EXPECT_EQ(second.bytes(), 8u);
    second = DeviceBuffer{24};
    auto& same = second;
    second = std::move(same);
    EXPECT_EQ(second.bytes(), 24u);
    EXPECT_TRUE(live.contains(second.data()));
  }
  EXPECT_TRUE(live.empty());
}

TEST(HostMemory, SaysWhatItCouldNotAllocate) {
  auto const bytes = std::numeric_limits<std::size_t>::max() / 2;
  try {
    [[maybe_unused]] auto const buffer = Buffer<Space::host>{bytes};
    FAIL();
  } catch (SystemError const& error) {
    EXPECT_EQ(error.what(), "cannot allocate " + std::to_string(bytes) + " bytes of host memory");
  }
}

}  // namespace
