// Ranks that mpirun starts, and what becomes of them.
#include <string>

#include <gtest/gtest.h>

#include "support/files.hpp"

#if defined(QLORA_MPIRUN)

#include "support/mpirun.hpp"

namespace qlora {
namespace {

/// Of two ranks that do `what` (tests/dist/program/rank.cpp).
testing::Outcome outcome_of(std::string const& what) {
  auto const folder = testing::TemporaryFolder{};
  return testing::mpirun(2, QLORA_RANK, {what}, folder.path());
}

TEST(Mpi, NamesARankThatHangs) {
  auto const outcome = outcome_of("hang");
  EXPECT_NE(outcome.status, 0);
  EXPECT_NE(outcome.err.find("rank 1 has been blocked for 5 s: all ranks end"), std::string::npos)
      << outcome.err;
}

TEST(Mpi, WaitsForARankThatWorks) {
  auto const outcome = outcome_of("work");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST(Mpi, EndsWithTheStatusOfWhatAllHaveDone) {
  auto const outcome = outcome_of("end");
  // By what mpirun says, since it may crash itself as it ends.
  EXPECT_NE(outcome.err.find("Exit code:    3"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("not all ranks have ended"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace qlora

#endif
