/// Runs the built program as a user would.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/files.hpp"
#include "support/program.hpp"

namespace qlora::testing {

/// A folder for one test, and the program run in it.
class Program {
 public:
  std::filesystem::path path(std::string const& name) const { return folder_.path() / name; }
  std::filesystem::path write(std::string const& name, std::string const& content) const {
    return folder_.write(name, content);
  }
  std::string read(std::string const& name) const { return read_file(path(name)); }
  nlohmann::json json(std::string const& name) const { return nlohmann::json::parse(read(name)); }

  /// Status and output of `qlora ARGUMENTS`, run in the folder.
  Outcome run(std::vector<std::string> const& arguments) const {
    return run_program(QLORA_PROGRAM, arguments, folder_.path());
  }

  /// The same, under way.
  RunningProgram start(std::vector<std::string> const& arguments) const {
    return {QLORA_PROGRAM, arguments, folder_.path()};
  }

  /// As run(), and the status must be 0.
  Outcome done(std::vector<std::string> const& arguments) const {
    auto outcome = run(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome;
  }

  /// As run(): the status must be that, and the complaint one sentence with each of `parts`.
  void refuses(std::vector<std::string> const& arguments, std::vector<std::string> const& parts,
               int status = 2) const {
    auto const outcome = run(arguments);
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    for (auto const& part : parts) {
      EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err << " lacks " << part;
    }
  }

 private:
  TemporaryFolder folder_;
};

inline std::string golden(std::string const& name) {
  return std::string{QLORA_TEST_DATA} + "/" + name;
}

/// A model, data and batches that train in a moment.
inline std::vector<std::string> quick_training(std::string const& command, std::string const& out) {
  return {command,
          "--model",
          golden("models/odd"),
          "--train",
          golden("train/data.txt"),
          "--test",
          golden("train/data.txt"),
          "--out",
          out,
          "--epochs",
          "2",
          "--batch-sequences",
          "6",
          "--quiet"};
}

inline std::vector<std::string> operator+(std::vector<std::string> a,
                                          std::vector<std::string> const& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// What was found, without the time that it took and what it took of memory.
inline nlohmann::json without_times(nlohmann::json found) {
  if (found.is_object()) {
    for (auto const* const key :
         {"seconds", "training_seconds", "total_seconds", "peak_memory_bytes"}) {
      found.erase(key);
    }
  }
  if (found.is_structured()) {
    for (auto& inner : found) inner = without_times(std::move(inner));
  }
  return found;
}

/// The cells of a text with separators; a row a line.
inline std::vector<std::vector<std::string>> cells(std::string const& text, char separator) {
  auto rows = std::vector<std::vector<std::string>>{};
  auto lines = std::istringstream{text};
  for (auto line = std::string{}; std::getline(lines, line);) {
    auto& row = rows.emplace_back();
    auto parts = std::istringstream{line};
    for (auto part = std::string{}; std::getline(parts, part, separator);) row.push_back(part);
  }
  return rows;
}

}  // namespace qlora::testing
