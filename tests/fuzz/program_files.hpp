/// What the readers of the program's own files must hold for any bytes whatever; shared as
/// model_files.hpp is.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include <qlora/core/safetensors.hpp>
#include <qlora/core/safetensors_writer.hpp>

#include "cli/checkpoint_file.hpp"
#include "cli/toml.hpp"
#include "fuzz/model_files.hpp"

namespace qlora::fuzz {

/// Where files in memory can be renamed; one for each process, which nobody else reads.
inline std::filesystem::path scratch_file() {
  auto const memory = std::filesystem::path{"/dev/shm"};
  auto const folder =
      std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
  return folder / ("qlora-fuzz-" + std::to_string(::getpid()));
}

inline bool toml(std::string_view text) {
  using cli::TomlValues;
  auto const parse = [&](TomlValues values) {
    return accepts([&] {
      for (auto const& entry : cli::parse_toml(text, "fuzz", values)) {
        require(entry.line > 0);
        if (entry.value.kind != cli::TomlValue::Kind::string) continue;
        auto const again = cli::parse_toml("a = " + cli::toml_value(entry.value.text), "fuzz");
        require(again.size() == 1 && again.front().value.text == entry.value.text);
      }
    });
  };
  auto const plain = parse(TomlValues::plain);
  auto const nested = parse(TomlValues::nested);
  require(nested || !plain);
  return nested;
}

/// A checkpoint as it is, and, since changed bytes never have the right checksum, with the one that
/// they should have.
inline bool checkpoint(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  if (accepts([&] { cli::read_checkpoint(memory.path()); })) return true;
  accepts([&] {
    auto const file = SafetensorsFile{memory.path()};
    auto const view = file.tensors();
    auto const tensors = std::vector<StoredTensor>(view.begin(), view.end());
    auto metadata = file.metadata();
    metadata["xxh3"] = cli::checkpoint_digest(metadata, tensors);
    write_safetensors(scratch_file(), tensors, metadata);
    cli::read_checkpoint(scratch_file());
  });
  std::filesystem::remove(scratch_file());
  return false;
}

}  // namespace qlora::fuzz
