/// What is counted of device memory.
#include <gtest/gtest.h>

#include <qlora/backend/cuda/memory.cuh>

namespace qlora {
namespace {

using DeviceMemory = Memory<Space::device>;

TEST(DeviceMemory, IsCountedWhileItIsHeld) {
  auto const before = DeviceMemory::held_bytes.load();
  DeviceMemory::peak_bytes = before;
  {
    auto const one = Buffer<Space::device>{1000};
    auto other = Buffer<Space::device>{500};
    other = Buffer<Space::device>{};
    EXPECT_EQ(DeviceMemory::held_bytes, before + 1000);
    auto const third = Buffer<Space::device>{200};
    EXPECT_EQ(DeviceMemory::held_bytes, before + 1200);
  }
  EXPECT_EQ(DeviceMemory::held_bytes, before);
  EXPECT_EQ(DeviceMemory::peak_bytes, before + 1500);
}

}  // namespace
}  // namespace qlora
