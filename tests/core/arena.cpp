#include <algorithm>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include <qlora/core/arena.hpp>

namespace {
using namespace qlora;

using HostArena = Arena<Space::host>;

/// Takes tensors, gives some of them back, takes others: the peak is in the middle.
void lay_out(HostArena& arena) {
  arena.vector<float>(3);
  auto const mark = arena.mark();
  arena.matrix<double>(5, 7);
  arena.release(mark);
  arena.vector<std::int8_t>(65);
}
constexpr auto peak = std::size_t{64 + 320};  // 12 and 280 bytes, in whole cache lines

TEST(Arena, MeasuresThePeakOfALayout) {
  EXPECT_EQ(HostArena::measure(lay_out), peak);
  EXPECT_EQ(HostArena::measure([](HostArena&) {}), 0u);
}

TEST(Arena, HoldsWhatItMeasuredAndNoByteMore) {
  auto exact = HostArena{peak};
  EXPECT_NO_THROW(lay_out(exact));
  auto small = HostArena{peak - 1};
  EXPECT_THROW(lay_out(small), SystemError);
}

TEST(Arena, HandsOutAlignedMemoryThatDoesNotOverlap) {
  auto arena = HostArena{1024};
  auto const bytes = arena.vector<std::int8_t>(1);
  auto const matrix = arena.matrix<double>(3, 5);  // (3, 5)
  auto const last = arena.vector<float>(7);
  EXPECT_EQ(matrix.shape(), "3x5");
  EXPECT_TRUE(matrix.is_dense());
  bytes[0] = 1;
  std::fill_n(matrix.data(), matrix.size(), 2.);
  std::fill(last.begin(), last.end(), 3.f);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(std::count(matrix.data(), matrix.data() + matrix.size(), 2.), 15);
  for (void const* const data :
       {static_cast<void*>(bytes.data()), static_cast<void*>(matrix.data()),
        static_cast<void*>(last.data())}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % alignment_bytes, 0u);
  }
}

TEST(Arena, GivesReleasedMemoryAgain) {
  auto arena = HostArena{256};
  arena.vector<float>(1);
  auto const mark = arena.mark();
  auto const* const first = arena.vector<float>(40).data();
  arena.release(mark);
  EXPECT_EQ(arena.vector<float>(48).data(), first);
}

TEST(Arena, OverlaysLayoutsAndGoesOnAfterTheLongest) {
  auto const all = HostArena::measure([](HostArena& arena) {
    arena.vector<float>(1);
    arena.overlay([&] { arena.vector<float>(16); }, [&] { arena.vector<float>(40); },
                  [&] { arena.vector<float>(1); });
    arena.vector<float>(1);
  });
  EXPECT_EQ(all, 64u + 192u + 64u);
  auto arena = HostArena{all};
  float* starts[3] = {};
  arena.overlay([&] { starts[0] = arena.vector<float>(16).data(); },
                [&] { starts[1] = arena.vector<float>(40).data(); });
  starts[2] = arena.vector<float>(1).data();
  EXPECT_EQ(starts[0], starts[1]);
  EXPECT_EQ(starts[2], starts[0] + 48);
}

std::string refusal(HostArena& arena, Index floats) {
  try {
    arena.vector<float>(floats);
  } catch (SystemError const& error) {
    return error.what();
  }
  return "none";
}

TEST(Arena, SaysWhatItLacksAndStaysUsable) {
  auto arena = HostArena{128};
  arena.vector<float>(1);
  EXPECT_EQ(refusal(arena, 20), "arena: expected 80 free bytes, found 64 of 128");
  EXPECT_NE(refusal(arena, -1), "none");
  EXPECT_EQ(refusal(arena, 16), "none");
}

}  // namespace
