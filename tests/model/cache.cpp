#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include <qlora/model/cache.hpp>

#include "support/files.hpp"

namespace qlora {
namespace {

using testing::input_error_of;
using testing::TemporaryFolder;

/// Sets or unsets an environment variable for a scope. One thread runs the tests.
// NOLINTBEGIN(concurrency-mt-unsafe)
class Environment {
 public:
  Environment(char const* name, std::optional<std::string> const& value) : name_{name} {
    if (auto const old = std::getenv(name)) old_ = old;
    set(value);
  }
  Environment(Environment const&) = delete;
  Environment& operator=(Environment const&) = delete;
  ~Environment() { set(old_); }

 private:
  void set(std::optional<std::string> const& value) const {
    if (value) {
      ::setenv(name_, value->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }

  char const* name_;
  std::optional<std::string> old_;
};
// NOLINTEND(concurrency-mt-unsafe)

TEST(HubCache, FollowsTheEnvironment) {
  auto const home = Environment{"HOME", "/h"};
  auto const xdg = Environment{"XDG_CACHE_HOME", {}};
  auto const hf = Environment{"HF_HOME", {}};
  auto const hub = Environment{"HF_HUB_CACHE", {}};
  EXPECT_EQ(hub_cache(), "/h/.cache/huggingface/hub");
  auto const xdg_set = Environment{"XDG_CACHE_HOME", "/x"};
  EXPECT_EQ(hub_cache(), "/x/huggingface/hub");
  auto const hf_set = Environment{"HF_HOME", "/f"};
  EXPECT_EQ(hub_cache(), "/f/hub");
  auto const hub_set = Environment{"HF_HUB_CACHE", "/c"};
  EXPECT_EQ(hub_cache(), "/c");
}

class FindModel : public ::testing::Test {
 protected:
  TemporaryFolder const folder_;
  Environment const cache_{"HF_HUB_CACHE", folder_.path().string()};
  std::filesystem::path const entry_ = folder_.path() / "models--facebook--esm2_t6_8M_UR50D";
  std::string const name_ = "facebook/esm2_t6_8M_UR50D";
};

TEST_F(FindModel, PrefersAPath) {
  EXPECT_EQ(find_model(folder_.path().string()), folder_.path());
}

TEST_F(FindModel, FollowsTheMainRevision) {
  folder_.write("models--facebook--esm2_t6_8M_UR50D/refs/main", "c731040f");
  folder_.write("models--facebook--esm2_t6_8M_UR50D/snapshots/c731040f/config.json", "{}");
  EXPECT_EQ(find_model(name_), entry_ / "snapshots" / "c731040f");
}

TEST_F(FindModel, SaysHowToDownload) {
  EXPECT_EQ(input_error_of([&] { find_model(name_); }),
            name_ + ": no such folder, and no such model in " + folder_.path().string() +
                "; download it with `hf download " + name_ + "`");
  folder_.write("models--facebook--esm2_t6_8M_UR50D/refs/main", "absent");
  EXPECT_NE(input_error_of([&] { find_model(name_); }).find("hf download"), std::string::npos);
}

TEST_F(FindModel, DoesNotLeaveTheCache) {
  std::filesystem::create_directories(entry_ / "snapshots");
  for (auto const revision : {"..", "../..", "", "/"}) {
    folder_.write("models--facebook--esm2_t6_8M_UR50D/refs/main", revision);
    EXPECT_NE(input_error_of([&] { find_model(name_); }).find("hf download"), std::string::npos);
  }
  for (auto const name : {"", "/a/b", "a/b/c", "a/../b", "a b", "a--b", "./absent", "a/"}) {
    EXPECT_EQ(input_error_of([&] { find_model(name); }),
              std::string{name} + ": expected a model folder, found none");
  }
}

}  // namespace
}  // namespace qlora
