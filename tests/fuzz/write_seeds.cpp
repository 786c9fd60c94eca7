/// write_fuzz_seeds FOLDER: seed corpora, FOLDER/TARGET/0 and so on, and dictionaries,
/// FOLDER/TARGET.dict, as libFuzzer wants them.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "fuzz/targets.hpp"

int main(int argc, char** argv) {
  using namespace qlora::fuzz;
  if (argc != 2) {
    std::cerr << "usage: write_fuzz_seeds FOLDER\n";
    return 2;
  }
  auto const folder = std::filesystem::path{argv[1]};
  for (auto const& target : targets()) {
    std::filesystem::create_directories(folder / target.name);
    auto number = 0;
    for (auto const& seed : target.seeds) {
      std::ofstream{folder / target.name / std::to_string(number++), std::ios::binary} << seed;
    }
    auto dictionary = std::ofstream{folder / (std::string{target.name} + ".dict")};
    for (auto const word : target.dictionary) {
      dictionary << '"';
      for (auto const c : word) {
        char escaped[5];
        std::snprintf(escaped, sizeof escaped, "\\x%02x", unsigned{static_cast<unsigned char>(c)});
        dictionary << escaped;
      }
      dictionary << "\"\n";
    }
  }
}
