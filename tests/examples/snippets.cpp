// What the documentation shows of C++ is in sources that are compiled.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace qlora::testing {
namespace {

auto const project = std::filesystem::path{QLORA_SOURCE_DIR};

/// Lines without their indentation.
std::string flattened(std::string const& text) {
  auto lines = std::istringstream{text};
  auto flat = std::string{"\n"};
  for (auto line = std::string{}; std::getline(lines, line);) {
    auto const first = line.find_first_not_of(' ');
    flat += (first == line.npos ? std::string{} : line.substr(first)) + "\n";
  }
  return flat;
}

/// A block of C++, and the file that `<!-- FILE -->` on the line above names; "" where none does.
struct Snippet {
  std::string file, code;
};

std::vector<Snippet> snippets_of(std::filesystem::path const& page) {
  auto snippets = std::vector<Snippet>{};
  auto lines = std::ifstream{page};
  auto above = std::string{};
  auto inside = false;
  for (auto line = std::string{}; std::getline(lines, line); above = line) {
    if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      snippets.back().code += line + "\n";
    } else if (line == "```cpp") {
      inside = true;
      auto const named = above.starts_with("<!-- ") && above.ends_with(" -->");
      snippets.push_back({named ? above.substr(5, above.size() - 9) : "", ""});
    }
  }
  return snippets;
}

TEST(Documentation, ShowsCodeThatIsCompiled) {
  auto pages = std::vector<std::filesystem::path>{project / "README.md"};
  for (auto const& entry : std::filesystem::directory_iterator{project / "docs"}) {
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  }
  auto found = 0;
  for (auto const& page : pages) {
    for (auto const& [file, code] : snippets_of(page)) {
      ++found;
      EXPECT_TRUE(std::filesystem::is_regular_file(project / file))
          << page << ": no file stands above\n"
          << code;
      // Blank lines and what stands between blocks may be left out, so a block at a time.
      EXPECT_NE(flattened(read_file(project / file)).find(flattened(code)), std::string::npos)
          << page << ": not in " << file << ":\n"
          << code;
    }
  }
  EXPECT_GE(found, 10);
}

}  // namespace
}  // namespace qlora::testing
