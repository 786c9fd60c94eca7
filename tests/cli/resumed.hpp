/// Runs that are cut off, and what they have in common with those that are not.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {

namespace fs = std::filesystem;
using Flags = std::vector<std::string>;

/// Two epochs of a dozen steps each.
inline Flags train(std::string const& out, Flags const& further = {}) {
  auto const data = golden("train/data.txt");
  auto flags = Flags{"train",
                     "--model",
                     golden("models/odd"),
                     "--train",
                     data,
                     "--valid",
                     data,
                     "--test",
                     data,
                     "--epochs",
                     "2",
                     "--batch-sequences",
                     "2",
                     "--dropout",
                     "0.3",
                     "--out",
                     out,
                     "--select",
                     "average_precision"};
  flags.insert(flags.end(), further.begin(), further.end());
  return flags;
}

/// The columns of history.csv that do not tell the time.
inline std::string steps(Program const& program, std::string const& folder) {
  auto text = std::string{};
  for (auto const& row : cells(program.read(folder + "/history.csv"), ',')) {
    for (auto i = std::size_t{0}; i < 6; ++i) text += row.at(i) + ",";
    text += "\n";
  }
  return text;
}

inline void expect_same(Program const& program, std::string const& one, std::string const& other) {
  SCOPED_TRACE(other);
  for (auto const* const file :
       {"adapter_model.safetensors", "adapter_config.json", "qlora.json", "metrics.json"}) {
    EXPECT_EQ(program.read(one + "/" + file), program.read(other + "/" + file)) << file;
  }
  EXPECT_EQ(steps(program, one), steps(program, other));
}

inline std::vector<fs::path> checkpoints(Program const& program, std::string const& folder) {
  auto files = std::vector<fs::path>{};
  for (auto const& entry : fs::directory_iterator{program.path(folder + "/checkpoints")}) {
    if (entry.path().filename().string().starts_with("step-")) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

/// A folder as a run leaves it that was cut off after that checkpoint.
inline void cut_off(Program const& program, std::string const& folder, fs::path const& checkpoint) {
  auto const target = program.path(folder) / "checkpoints";
  fs::create_directories(target);
  fs::copy_file(checkpoint, target / checkpoint.filename());
}

/// Waits until that much of a run has happened.
inline bool reached(RunningProgram& run, fs::path const& file) {
  using namespace std::chrono_literals;
  for (auto i = 0; i < 12000 && !fs::exists(file); ++i) {
    if (run.has_ended()) break;
    std::this_thread::sleep_for(5ms);
  }
  return fs::exists(file);
}

}  // namespace qlora::testing
